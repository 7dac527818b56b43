"""What came of a training: the one reading of dev, beside the dense model's, and the note about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from rpmask.results import FinetuneResult
from rpmask.steps.context import versions
from rpmask.steps.inputs import Prepared
from rpmask.steps.material import Material
from rpmask.tasks.metrics import majority
from rpmask.train.evaluate import Evaluation, evaluate
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.train.trainer import Trained


def outcome(
    material: Material,
    prepared: Prepared,
    trained: Trained,
    model: nn.Module,
    teacher: nn.Module | None,
    run_id: str,
) -> tuple[FinetuneResult, dict[str, np.ndarray]]:
    """The one time that dev is read: its metrics, and the model's answers in the order of the rows."""
    from rpmask.tasks.evaluate_metrics import report

    splits = prepared.dev()
    spec = prepared.spec

    def answered(network: nn.Module) -> dict[str, Evaluation]:
        return {name: evaluate(network, split, spec) for name, split in splits.items()}

    ours = answered(model)
    theirs = answered(teacher) if teacher is not None else ours
    dev, dense = (
        _merged({name: report(spec, one.logits, splits[name].labels) for name, one in each.items()})
        for each in (ours, theirs)
    )
    ours_chosen = evaluate(model, prepared.selection, spec).metrics
    theirs_chosen = (
        ours_chosen if teacher is None else evaluate(teacher, prepared.selection, spec).metrics
    )
    agreement, by_majority = None, None
    if teacher is not None and spec.kind == "classification":
        agreement, by_majority = _agreement(ours, theirs)
    chance = _merged({name: majority(spec, d.labels) for name, d in splits.items()})
    answers = {f"{name}/logits": one.logits for name, one in ours.items()}
    answers.update({f"{name}/labels": np.asarray(d.labels) for name, d in splits.items()})
    result = FinetuneResult(
        selection_run_id=material.selection_run_id,
        task=material.task,
        model=material.model,
        teacher=material.teacher or material.start,
        level=material.level,
        sparsity=material.sparsity,
        mask_digest=material.mask.digest if material.mask else None,
        dense=dense,
        dev=dev,
        majority=chance,
        primary=spec.primary,
        retention=dev[spec.primary] / dense[spec.primary] if dense[spec.primary] else 0.0,
        best_step=trained.best_step,
        steps=trained.steps,
        nonzero=trained.nonzero,
        agreement=agreement,
        agreement_majority=by_majority,
        selection=ours_chosen,
        dense_selection=theirs_chosen,
        data=material.data,
        run_id=run_id,
        versions=versions(),
    )
    return result, answers


def _agreement(
    ours: Mapping[str, Evaluation], theirs: Mapping[str, Evaluation]
) -> tuple[float, float]:
    """The share of the first split's rows that two models classify alike, and what the second's commonest
    answer alone comes to.
    """
    first = next(iter(ours))
    mine, other = (answers[first].logits.argmax(axis=1) for answers in (ours, theirs))
    return float(np.mean(mine == other)), float(np.bincount(other).max() / len(other))


def _merged(splits: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """One split's metrics as they are; of several, the first's, and the others' by split name."""
    first, *others = splits
    merged = dict(splits[first])
    for other in others:
        merged.update({f"{other}/{name}": value for name, value in splits[other].items()})
    return merged


def _trail(material: Material) -> str:
    """The runs that the mask came from."""
    if material.pool_run_id is None:
        return f"jackpot `{material.selection_run_id}`"
    return f"sample `{material.pool_run_id}`, select `{material.selection_run_id}`"


def note(material: Material, result: FinetuneResult, registered: Mapping[str, Any] | None) -> str:
    """In Markdown, for the run and the registry."""
    name = result.primary
    if material.mask is None:
        lines = [
            f"**Dense `{material.task}`: {name} {result.dev[name]:.4f} on dev**, trained from "
            f"`{material.start}` for {result.steps} steps"
            + (", by its own answers." if material.teacher else ".")
        ]
    else:
        lines = [
            f"**`{material.task}` at {percent(material.sparsity)}: {name} {result.dev[name]:.4f} "
            f"on dev**, dense {result.dense[name]:.4f}, retention {result.retention:.1%}; always "
            f"answering the commonest label gives {result.majority[name]:.4f}.",
            f"{result.steps} steps from `{material.start}`, best at {result.best_step}; "
            f"{result.nonzero:,} weights under the mask are not zero.",
            f"Runs: {_trail(material)}, finetune `{result.run_id}`.",
        ]
    if result.agreement is not None:
        lines.insert(
            1,
            f"{result.agreement:.1%} of the rows are answered as by the dense model; always giving its "
            f"commonest answer does so with {result.agreement_majority:.1%}.",
        )
    if registered is not None:
        address = f"models:/{registered['name']}/{registered['version']}"
        lines.append(
            f"Registered as `{address}`.\n\nNext: `mlflow models serve -m {address} "
            "--env-manager local`"
        )
    return "\n\n".join(lines)
