"""What a registered version is: its model, its mask, its task, and the run that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask
from rpmask.records import DataChoice, Pool, Selection
from rpmask.results import FinetuneResult, JackpotResult
from rpmask.steps.context import Context
from rpmask.tasks.registry import known_name

Recorded = FinetuneResult | JackpotResult | Selection
# The steps that register, and what they write down.
KINDS: dict[str, tuple[str, Any]] = {
    "finetune": ("finetune.json", FinetuneResult),
    "jackpot": ("jackpot.json", JackpotResult),
    "select": ("selection.json", Selection),
}


@dataclass(frozen=True)
class Registered:
    """A version of the registry; address names it by number, whatever alias it was asked for by."""

    address: str
    run_id: str
    folder: str
    task: str
    data: DataChoice
    level: int
    sparsity: float
    mask: Mask | None


def default_address(task: str) -> str:
    """The champion of a task."""
    from rpmask.tracking.registry import CHAMPION, model_name

    return f"models:/{model_name(known_name(task))}@{CHAMPION}"


def find_registered(source: str, context: Context) -> Registered:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` stands for."""
    from rpmask.tracking.registry import fetch, pin, run_of

    if not source.startswith("models:/"):
        raise RpmaskError(
            f"'{source}' is not a registered model.",
            "Name one as models:/NAME@ALIAS or models:/NAME/VERSION.",
        )
    context.require_store()
    tracker = context.tracker
    address = pin(tracker, source)
    run_id = run_of(tracker, address)
    record = _record(context, run_id)
    mask = None
    if record.mask_digest is not None:
        mask = load_mask(tracker.artifacts.path(run_id, "mask.safetensors"))
        if mask.digest != record.mask_digest:
            raise RpmaskError(
                f"The mask of run '{run_id}' is not the one its record names.",
                "The artifact was changed or swapped; run the step again with --force.",
            )
    return Registered(
        address=address,
        run_id=run_id,
        folder=fetch(tracker, address),
        task=record.task,
        data=_data(context, record),
        level=record.level,
        sparsity=record.sparsity,
        mask=mask,
    )


def read_length(source: str, context: Context) -> int | None:
    """How many tokens of a text a registered version was trained to read, where a step of ours says so."""
    record = _known_record(source, context)
    return None if record is None else _data(context, record).max_length


def read_task(source: str, context: Context) -> str:
    """The task a registered version was trained for, where a step of ours says so; else empty."""
    record = _known_record(source, context)
    return "" if record is None else record.task


def _known_record(source: str, context: Context) -> Recorded | None:
    """What the step that registered a version wrote down, if it was a step of ours."""
    from rpmask.tracking.registry import is_version_address, run_of

    if not is_version_address(source):
        return None
    run_id = run_of(context.tracker, source)
    try:
        step = context.tracker.step_name(run_id)
    except RpmaskError:
        return None  # deleted, or cut off once it had registered: the model answers all the same
    return _record(context, run_id) if step in KINDS else None


def _record(context: Context, run_id: str) -> Recorded:
    """What the step that registered the version wrote down."""
    tracker = context.tracker
    step = tracker.step_name(run_id)
    if step not in KINDS:
        raise RpmaskError(
            f"Run '{run_id}' is a `{step}`; it registers no model that can be exported.",
            "Name a model that `rpmask finetune`, `rpmask jackpot` or `rpmask select` registered.",
        )
    return tracker.artifacts.record(run_id, *KINDS[step])


def _data(context: Context, record: Recorded) -> DataChoice:
    if not isinstance(record, Selection):
        return record.data
    return context.tracker.artifacts.record(record.pool_run_id, "pool.json", Pool).data
