"""One training, run by every process of a command: the leader within its step, followers on their own.

A training is a record of paths on this machine, so a follower needs no tracking server.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from rpmask import ranks
from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.masks.banks import plan_banks
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask
from rpmask.masks.weights import find_prunable
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.inputs import Prepared, load_data, prepare
from rpmask.steps.resolve import MASK_FILE
from rpmask.train.models import load_classifier
from rpmask.train.observer import Observer, Silent
from rpmask.train.plan import TrainPlan

if TYPE_CHECKING:
    from rpmask.randomized_masks.tightening import RefitCut, Tightening
    from rpmask.train.trainer import Trained

LEADER_SECONDS = 60.0


@dataclass(frozen=True)
class Training(Record):
    """The weights, teacher and data of a training, its plan, and its folder.

    folder holds the checkpoints, and the mask if there is one; mask is the mask's digest, granularity that
    of its units.
    """

    task: str
    start: str
    teacher: str | None
    mask: str | None
    folder: str
    data: DataChoice = field(default_factory=DataChoice)
    plan: TrainPlan = field(default_factory=TrainPlan)
    granularity: str = "weight"


def fit(
    training: Training, mask: Mask | None, prepared: Prepared, observer: Observer
) -> tuple[Trained, nn.Module, nn.Module | None]:
    """Load the models and train, together with every other process that does the same."""
    from rpmask.train.trainer import train

    gc.collect()  # frees the models of the previous level, which reference cycles keep alive
    _freeze_imports()
    plan, spec = training.plan, prepared.spec
    attentions = plan.distill.attention > 0
    model = load_classifier(
        training.start, spec, seed=plan.seed, attentions=attentions, dropout=plan.dropout
    )
    teacher = None
    if training.teacher is not None:
        teacher = load_classifier(training.teacher, spec, attentions=attentions)
    trained = train(
        model,
        mask,
        teacher if plan.distill.needs_teacher else None,
        prepared.train,
        prepared.selection,
        spec,
        plan,
        Path(training.folder) / "checkpoints",
        observer,
        _cuts(training, mask, prepared, model),
        _refit_cut(training, mask),
    )
    return trained, model, teacher


@cache
def _freeze_imports() -> None:
    """Keep the imported libraries out of the full collection in which the Trainer ends each training."""
    gc.freeze()


def _cuts(
    training: Training, mask: Mask | None, prepared: Prepared, model: nn.Module
) -> Callable[[int], Tightening] | None:
    """What tightens the mask in a training, given the number of steps; None if nothing does."""
    plan = training.plan
    if mask is None or plan.tighten is None or not plan.trains:
        return None
    from rpmask.randomized_masks.allocation import allocate
    from rpmask.randomized_masks.tightening import Tightening, cuts_by_step

    recipe = MaskRecipe(
        weights_digest="",
        seed=plan.seed,
        sparsity=plan.tighten,
        temperature=0.0,
        importance="fisher",
        allocation=1.0,
        granularity=training.granularity,
    )
    before, target = mask.sparsity, plan.tighten
    banks = plan_banks(training.granularity, find_prunable(model, mask.names))
    allocate({bank.name: bank.units for bank in banks}, target)  # refuses a target that keeps none
    return lambda steps: Tightening(
        recipe,
        cuts_by_step(before, target, steps, plan.tighten_share, plan.tighten_cuts),
        prepared.train,
        prepared.spec,
    )


def _refit_cut(training: Training, mask: Mask | None) -> RefitCut | None:
    """What tightens the mask without a training; None if nothing does."""
    plan = training.plan
    if mask is None or plan.tighten is None or plan.trains:
        return None
    from rpmask.randomized_masks.tightening import RefitCut

    return RefitCut(mask, plan.tighten, plan.seed, training.granularity)


def follow() -> None:
    """Take part in each training that the leader announces; this is all that a follower does."""
    for number in count(1):
        word = ranks.hear(number)
        if word is None:
            return
        try:
            _take_part(Training.from_dict(word))
        except RpmaskError:
            # The leader usually meets the same error and closes its run; if a follower ended first,
            # torchrun would kill the leader before it can.
            time.sleep(LEADER_SECONDS)
            raise


def _take_part(training: Training) -> None:
    mask = _announced_mask(training) if training.mask is not None else None
    data = load_data(training.task, training.data)
    fit(training, mask, prepare(data, training.data, training.start), Silent())


def _announced_mask(training: Training) -> Mask:
    mask = load_mask(Path(training.folder) / MASK_FILE)
    if mask.digest != training.mask:
        raise RpmaskError(
            f"The mask in {training.folder} is not the one that rank 0 trains.",
            "Start all processes in the same folder; on several machines, in a shared one.",
        )
    return mask
