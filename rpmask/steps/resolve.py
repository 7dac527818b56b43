"""Resolve a name to a mask, with the task, data and weights that belong to it.

RUN_ID is a finished `select`, `finetune` or `jackpot` run, RUN_ID#INDEX (or RUN_ID:INDEX) a candidate of a
`sample` run, and `models:/NAME@ALIAS` or `models:/NAME/VERSION` the run that registered the version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask
from rpmask.records import DataChoice, Pool, Selection
from rpmask.results import FinetuneResult, JackpotResult
from rpmask.steps.context import Context

MASK_FILE = "mask.safetensors"
REGISTERING = ("select", "finetune", "jackpot")  # the steps that register a model
RESULTS: dict[str, tuple[str, Any]] = {
    "finetune": ("finetune.json", FinetuneResult),
    "jackpot": ("jackpot.json", JackpotResult),
}
RUN_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Resolved:
    """A task and its data, the weights to start from, and the mask that a run holds for them.

    model is the name that the user gave, weights where the weights are read from, teacher the dense model.
    step is the kind of run that holds the mask; without a mask there is no such run.
    """

    task: str
    model: str
    weights: str
    level: int
    sparsity: float
    data: DataChoice
    teacher: str | None = None
    mask_digest: str | None = None
    name: str = ""
    step: str = ""
    run_id: str | None = None
    pool: Pool | None = None
    candidate: int | None = None

    @property
    def granularity(self) -> str:
        """The units that the mask keeps or drops; single weights where no pool is known."""
        pool = self.pool
        return pool.candidates[pool.control].recipe.granularity if pool else "weight"

    @property
    def mask_file(self) -> str:
        """The artifact of the run that holds the mask."""
        return MASK_FILE if self.candidate is None else candidate_file(self.candidate)

    def load_mask(self, context: Context) -> Mask | None:
        """Load the mask, if there is one, and compare its digest with the record's."""
        if self.mask_digest is None or self.run_id is None:
            return None
        return load_proved(context, self.run_id, self.mask_file, self.mask_digest)


def resolve(
    name: str, context: Context, steps: Sequence[str] = ("sample", *REGISTERING)
) -> Resolved:
    """Return what the name stands for; the run must be of one of these steps."""
    from rpmask.tracking.registry import is_mlflow_address, run_of

    tracker = context.tracker
    run_id, _, index = name.replace("#", ":").partition(":")
    if is_mlflow_address(name):
        run_id, index = run_of(tracker, name), ""
    step = tracker.step_name(run_id)
    if step not in steps:
        *others, last = steps
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise RpmaskError(
            f"Run '{run_id}' is a `{step}`, not a `{wanted}`.", f"Give the id of a {wanted} run."
        )
    if step == "sample":
        return _candidate(run_id, index, context)
    if step == "select":
        selection = tracker.artifacts.record(run_id, "selection.json", Selection)
        pool = tracker.artifacts.record(selection.pool_run_id, "pool.json", Pool)
        found = replace(_of_pool(pool), mask_digest=selection.mask_digest)
    else:
        result = tracker.artifacts.record(run_id, *RESULTS[step])
        # A finetuned mask belongs to the dense weights; the trained ones are zero where it drops.
        weights = result.teacher if step == "finetune" else result.weights
        found = Resolved(
            task=result.task,
            model=result.model,
            weights=weights,
            level=result.level,
            sparsity=result.sparsity,
            data=result.data,
            teacher=weights,
            mask_digest=result.mask_digest,
        )
    return replace(found, name=name, step=step, run_id=run_id)


def resolve_version(source: str, context: Context) -> Resolved:
    """Resolve a registered version; its name and weights are its address by number, whatever the alias."""
    from rpmask.tracking.registry import pin

    if not source.startswith("models:/"):
        raise RpmaskError(
            f"'{source}' is not a registered model.",
            "Name one as models:/NAME@ALIAS or models:/NAME/VERSION.",
        )
    context.require_store()
    address = pin(context.tracker, source)
    return replace(resolve(address, context, REGISTERING), weights=address)


def version_record(source: str, context: Context) -> Resolved | None:
    """Resolve a registered version if a step of rpmask registered it, else return None."""
    from rpmask.tracking.registry import is_version_address, run_of

    if not is_version_address(source):
        return None
    run_id = run_of(context.tracker, source)
    try:
        step = context.tracker.step_name(run_id)
    except RpmaskError:
        return None  # the run was deleted or never finished; the model still answers
    return resolve(source, context) if step in REGISTERING else None


def names_a_run(name: str) -> bool:
    """Whether a name is the id of a run, a candidate of one, or an address in the registry."""
    return name.startswith(("models:/", "runs:/")) or RUN_ID.match(name) is not None


def default_version(task: str) -> str:
    """Return the address of a task's champion."""
    from rpmask.tasks.registry import known_name
    from rpmask.tracking.registry import CHAMPION, model_name

    return f"models:/{model_name(known_name(task))}@{CHAMPION}"


def candidate_file(index: int) -> str:
    """Return the artifact of a `sample` run that holds a candidate's mask."""
    return f"masks/candidate-{index:02d}.safetensors"


def load_proved(context: Context, run_id: str, name: str, digest: str) -> Mask:
    """Load a mask that a run logged, and compare its digest with the one in the run's record."""
    mask = load_mask(context.tracker.artifacts.path(run_id, name))
    if mask.digest != digest:
        raise RpmaskError(
            f"The mask '{name}' of run '{run_id}' is not the one its record names.",
            "The artifact was changed or swapped; run the step again with --force.",
        )
    return mask


def _candidate(run_id: str, index: str, context: Context) -> Resolved:
    pool = context.tracker.artifacts.record(run_id, "pool.json", Pool)
    if not index.isdecimal() or int(index) >= len(pool.candidates):
        raise RpmaskError(
            f"Run '{run_id}' has no candidate '{index}'.",
            f"Name one of 0 to {len(pool.candidates) - 1}: {run_id}#0.",
        )
    number = int(index)
    return replace(
        _of_pool(pool),
        mask_digest=pool.candidates[number].mask_digest,
        name=f"{run_id}:{number}",
        step="sample",
        run_id=run_id,
        candidate=number,
    )


def _of_pool(pool: Pool) -> Resolved:
    return Resolved(
        task=pool.task,
        model=pool.model,
        weights=pool.start,
        level=pool.level,
        sparsity=pool.sparsity,
        data=pool.data,
        teacher=pool.teacher,
        pool=pool,
    )
