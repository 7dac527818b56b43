"""Measure a trained model on dev, once, next to the dense model, and describe its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from rpmask.direction import retention
from rpmask.heads.metrics import majority
from rpmask.heads.registry import head_of
from rpmask.results import FinetuneResult
from rpmask.steps.context import versions
from rpmask.steps.inputs import Prepared
from rpmask.steps.resolve import Resolved
from rpmask.tasks.spec import TaskSpec
from rpmask.train.evaluate import Evaluation, evaluate, reported
from rpmask.words import percent

if TYPE_CHECKING:
    from rpmask.tracking.runs import Chart
    from rpmask.train.trainer import Trained


def measure(
    found: Resolved,
    prepared: Prepared,
    trained: Trained,
    model: nn.Module,
    teacher: nn.Module | None,
    run_id: str,
) -> tuple[FinetuneResult, dict[str, np.ndarray]]:
    """Read dev this one time: return the metrics, and the model's answers in the order of the rows."""
    splits = prepared.dev()
    spec = prepared.spec

    def answered(network: nn.Module) -> dict[str, Evaluation]:
        return {name: evaluate(network, split, spec) for name, split in splits.items()}

    ours = answered(model)
    theirs = answered(teacher) if teacher is not None else ours
    dev, dense = (
        _merged({name: reported(spec, one, splits[name].labels) for name, one in each.items()})
        for each in (ours, theirs)
    )
    selection = evaluate(model, prepared.selection, spec).metrics
    dense_selection = selection
    if teacher is not None:
        dense_selection = evaluate(teacher, prepared.selection, spec).metrics
    agreement, by_majority = None, None
    if teacher is not None and head_of(spec).answers.has_confidence:
        agreement, by_majority = _agreement(ours, theirs)
    answers = {key: kept for name, one in ours.items() for key, kept in _kept(name, one).items()}
    lower = head_of(spec).answers.lower_is_better
    result = FinetuneResult(
        selection_run_id=found.run_id,
        task=found.task,
        model=found.model,
        teacher=found.teacher or found.weights,
        level=found.level,
        sparsity=found.sparsity,
        mask_digest=found.mask_digest,
        dense=dense,
        dev=dev,
        majority=_merged({name: majority(spec, d.labels) for name, d in splits.items()}),
        primary=spec.primary,
        retention=retention(dev[spec.primary], dense[spec.primary], lower=lower),
        best_step=trained.best_step,
        steps=trained.steps,
        nonzero=trained.nonzero,
        agreement=agreement,
        agreement_majority=by_majority,
        selection=selection,
        dense_selection=dense_selection,
        data=found.data,
        lower_is_better=lower,
        run_id=run_id,
        versions=versions("finetune"),
    )
    return result, answers


def _kept(name: str, one: Evaluation) -> dict[str, np.ndarray]:
    """Return what is kept of the answers to a split: the logits, or the losses where those are too many."""
    if one.logits is None:
        return {f"{name}/losses": one.losses}
    kept = {f"{name}/logits": one.logits, f"{name}/labels": one.targets}
    return kept | {f"{name}/rows": one.examples} if one.several_units else kept


def answer_charts(
    spec: TaskSpec, result: FinetuneResult, answers: Mapping[str, np.ndarray]
) -> list[Chart]:
    """Return how a classifier errs on its first dev split; no charts of a model without classes.

    A model that answers with a place in a text has a logit for each token, not for each label.
    """
    from rpmask import charts
    from rpmask.tracking.runs import Chart

    if not spec.labels:
        return []
    split = next(iter(answers)).partition("/")[0]
    targets, logits = answers[f"{split}/labels"], answers[f"{split}/logits"]
    if logits.shape[1] != len(spec.labels):
        return []
    known = targets >= 0
    of = f"{result.task} at {percent(result.sparsity)}" if result.sparsity else result.task
    shown = (spec.labels, targets[known], logits[known])
    return [
        Chart("confusion", "Labels against answers.", charts.confusion(f"{of}, {split}", *shown)),
        Chart("curves", "Thresholds and confidence.", charts.curves(f"{of}, {split}", *shown)),
    ]


def _agreement(
    ours: Mapping[str, Evaluation], theirs: Mapping[str, Evaluation]
) -> tuple[float, float]:
    """Return the share of the first split's answers in which both models agree, and the share that the
    second model's most frequent answer alone would reach.
    """
    first = next(iter(ours))
    mine, other = (answers[first].likeliest for answers in (ours, theirs))
    return float(np.mean(mine == other)), float(np.bincount(other).max() / len(other))


def _merged(splits: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Merge the metrics of several splits: the first split's by name, the others' as SPLIT/NAME."""
    first, *others = splits
    merged = dict(splits[first])
    for other in others:
        merged.update({f"{other}/{name}": value for name, value in splits[other].items()})
    return merged


def describe(found: Resolved, result: FinetuneResult) -> str:
    """Return the description of the run and of the registered version, in Markdown."""
    name = result.primary
    if found.mask_digest is None:
        lines = [
            f"**Dense `{found.task}`: {name} {result.dev[name]:.4f} on dev**, trained from "
            f"`{found.weights}` for {result.steps} steps"
            + (", by its own answers." if found.teacher else ".")
        ]
    else:
        source = f"jackpot `{found.run_id}`"
        if found.pool is not None:
            source = f"sample `{found.pool.run_id}`, select `{found.run_id}`"
        lines = [
            f"**`{found.task}` at {percent(found.sparsity)}: {name} {result.dev[name]:.4f} "
            f"on dev**, dense {result.dense[name]:.4f}, retention {result.retention:.1%}; the best "
            f"constant answer gives {result.majority[name]:.4f}.",
            f"{result.steps} steps from `{found.weights}`, best at {result.best_step}; "
            f"{result.nonzero:,} weights under the mask are not zero.",
            f"Runs: {source}, finetune `{result.run_id}`.",
        ]
        if result.tightened_from is not None:
            how = "training" if result.steps else "refit"
            lines.append(
                f"The {how} tightened the mask; it began with `{result.tightened_from[:16]}`."
            )
    if result.agreement is not None:
        lines.insert(
            1,
            f"{result.agreement:.1%} of the answers are those of the dense model; always giving its "
            f"commonest answer does so with {result.agreement_majority:.1%}.",
        )
    return "\n\n".join(lines)
