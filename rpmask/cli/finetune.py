"""`rpmask finetune`: train under the selected mask, or train the dense model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rpmask.cli.options import Given, typed, verb
from rpmask.cli.sources import DATA_OPTIONS, Source, find_model, resolve_precision
from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.settings import setting, setting_like
from rpmask.steps.requests import FinetuneRequest, SampleRequest
from rpmask.train.plan import TIGHTENING, TrainPlan

# A dense model trains with the dropout of its configuration.
DENSE = FinetuneRequest(plan=TrainPlan(dropout=None))


@dataclass(frozen=True)
class Selection(Source):
    """The selection that is trained, or the model and the data of a dense training."""

    run: str | None = setting_like(
        Source, "run", help="A select run, or models:/NAME@selected", none="the latest select"
    )
    model: str = setting_like(SampleRequest, "model")
    dense: bool = setting(False, "Train --model on the task without a mask", "--dense")


@verb(defaults={"with --dense": DENSE})
def finetune(
    source: Selection,
    request: FinetuneRequest,
    data: DataChoice,
    tracking: Tracking,
    given: Given,
) -> dict[str, Any]:
    """Train the selected mask's weights, evaluate once on dev, and register the result.

    Example: `rpmask finetune --epochs 6`
    """
    dense = source.dense
    refuse_unused(given, dense)
    plan = replace(request.plan, precision=resolve_precision(request.plan.precision))
    if dense and "dropout" not in given:
        plan = replace(plan, dropout=DENSE.plan.dropout)
    if dense and not plan.trains:
        raise RpmaskError(
            "--dense trains the dense model, and there is no step to train.",
            "Give --epochs a number above 0.",
        )
    if plan.tighten is None and (found := typed(given, TIGHTENING)):
        raise RpmaskError(
            f"{' and '.join(found)} says how a mask is tightened, and --tighten is not given.",
            "Add --tighten with the final sparsity.",
        )
    refuse_pace(given, plan.trains)
    replace(request, plan=plan).check()
    data.check()
    from rpmask.steps.context import available_cores
    from rpmask.steps.finetune import finetune as train_masked
    from rpmask.steps.finetune import finetune_dense

    plan = replace(plan, threads=given.get("threads") or available_cores())
    request = replace(request, plan=plan)
    context = tracking.context()
    if dense:
        model = find_model(source.task, data, given, tracking)
        what: dict[str, Any] = {"task": source.task, "model": model, "data": data}
        if tracking.plan:
            from rpmask.steps.plans import plan_dense

            return plan_dense(request, context, **what).answer()
        return finetune_dense(request, context, **what)
    selected = source.find("select", context, given)
    if tracking.plan:
        from rpmask.steps.plans import plan_finetune

        return plan_finetune(request, context, selected).answer()
    return train_masked(request, context, selected)


def refuse_pace(given: Given, trains: bool) -> None:
    """Refuse the pace of cuts without a training."""
    if not trains and (found := typed(given, TIGHTENING[1:])):
        raise RpmaskError(
            f"{' and '.join(found)} paces the cuts of a training, and there is no step to train.",
            "Leave it out: with --epochs 0 a mask is tightened by one cut.",
        )


def refuse_unused(given: Given, dense: bool) -> None:
    """Refuse options that this kind of training does not use."""
    if dense:
        names = ["from_", "teacher", "refit", *TIGHTENING]
        names += ["augment"] if given.get("augment") else []
        if found := typed(given, names):
            raise RpmaskError(
                f"{' and '.join(found)} cannot go with --dense.",
                "A dense training has no mask and no teacher; name what to train with --model.",
            )
    elif found := typed(given, ["model", *DATA_OPTIONS]):
        raise RpmaskError(
            f"{' and '.join(found)} cannot be chosen here: a mask is trained with the model and data of "
            "its own run.",
            "Give them to `rpmask sample`, or add --dense to train a model without a mask.",
        )
