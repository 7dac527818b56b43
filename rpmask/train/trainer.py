"""Train a masked model with transformers.Trainer. The mask holds at every optimizer step.

The Trainer does the loop, resuming, mixed precision and several devices. Added here: the mask, the
distillation loss, the refit before the first step, and a check before every save that pruned weights
are zero.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from torch import nn
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import get_last_checkpoint

from rpmask import ranks
from rpmask.errors import RunFailed
from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.packed_format import load_mask
from rpmask.tasks.spec import TaskSpec
from rpmask.train.arguments import training_arguments
from rpmask.train.attention import fast_attention
from rpmask.train.augment import with_perturbed
from rpmask.train.evaluate import condensed, metrics_of
from rpmask.train.masked_trainer import CHECKPOINT_MASK, MaskedTrainer
from rpmask.train.observer import Observer
from rpmask.train.parameters import frozen_embeddings
from rpmask.train.plan import TrainPlan
from rpmask.train.refit import Cut, refit, refit_batches
from rpmask.train.teacher import Numbered

CURVES = {"loss": "train/loss", "learning_rate": "train/learning_rate", "grad_norm": "train/grad"}
TIMINGS = {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}


@dataclass(frozen=True)
class Trained:
    """The result of a training run. The model holds the weights that were best on the selection split.

    refitted is the number of matrices refitted before the first step; None if the run was resumed.
    """

    steps: int
    best_step: int
    nonzero: int  # weights under the mask
    seconds: float
    refitted: int | None = None
    mask: Mask | None = None  # after the last cut


class Cuts(Protocol):
    """Cuts that tighten the mask while the weights train."""

    @property
    def by_step(self) -> Mapping[int, float]:
        """The sparsity after each cut, by the step that it comes before."""

    def cut(self, model: nn.Module, mask: Mask, step: int) -> Mask:
        """Find the mask of a cut inside the one before."""


def train(
    model: nn.Module,
    mask: Mask | None,
    teacher: nn.Module | None,
    train_set: Split,
    selection: Split,
    task: TaskSpec,
    plan: TrainPlan,
    folder: Path,
    observer: Observer,
    cuts: Callable[[int], Cuts] | None = None,
    refit_cut: Cut | None = None,
) -> Trained:
    """Train to the best weights on the selection split; resumes from the folder's last checkpoint.

    cuts, given the number of steps, tighten the mask in the training; refit_cut does in the refit before it.
    """
    torch.set_num_threads(max(1, plan.threads // ranks.local_size()))
    arguments = training_arguments(plan, task, len(train_set), folder, train_set.at_once)
    model.to(arguments.device)
    if teacher is not None:
        teacher.eval().requires_grad_(False).to(arguments.device)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = _last_whole_checkpoint(folder)
    tightening = cuts(arguments.max_steps) if cuts else None
    if tightening and checkpoint:
        mask = load_mask(Path(checkpoint) / CHECKPOINT_MASK)
    refitted = None
    if mask is not None and plan.refit and checkpoint is None:
        started = time.monotonic()
        rows = refit_batches(train_set, plan.refit, plan.seed)
        untrained = arguments.device.type == "cpu" and not arguments.max_steps
        file_folder = folder if untrained else None  # a training would copy the weights to memory
        found = refit(model, mask, rows, observer, refit_cut, file_folder)
        refitted, mask = found.matrices, found.mask
        observer.metric("refit_seconds", time.monotonic() - started, 0)
    hold = MaskHold(model, mask or Mask({}, {}))
    if refitted is None:
        hold.apply()
    callbacks: list[transformers.TrainerCallback] = [_Report(observer), _Clock(), ApplyMask(hold)]
    if plan.patience:
        callbacks.append(transformers.EarlyStoppingCallback(plan.patience))
    if tightening:
        callbacks.append(Tighten(tightening, hold, observer))
    rows_to_learn = (
        with_perturbed(train_set, plan.augment, plan.seed) if plan.augment else train_set
    )
    numbered = Numbered(rows_to_learn)
    trainer = MaskedTrainer(
        model=model,
        args=arguments,
        train_dataset=numbered,
        eval_dataset=selection,
        data_collator=numbered.collate,
        compute_metrics=lambda output: metrics_of(task, output, selection),
        preprocess_logits_for_metrics=condensed(task),
        callbacks=callbacks,
        task=task,
        terms=plan.distill,
        hold=hold,
        tightens=tightening is not None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    with ExitStack() as stack:
        stack.enter_context(fast_attention((model, teacher), train_set, plan.precision))
        if teacher is not None:
            trainer.set_teacher(teacher, rows_to_learn)
        if plan.freeze_embeddings:
            stack.enter_context(frozen_embeddings(model, hold.mask.names))
        stack.enter_context(hold.gradients_masked())
        if arguments.max_steps:
            trainer.train(resume_from_checkpoint=checkpoint)
    if tightening and trainer.state.global_step <= max(tightening.by_step):
        raise RunFailed(
            f"The training ended after {trainer.state.global_step} steps, before the last cut of the mask.",
            "Give it more steps, or a lower --tighten-share.",
        )
    # A resumed Trainer replaces the clock above with one that includes the seconds before the interruption.
    (clock,) = (c for c in trainer.callback_handler.callbacks if isinstance(c, _Clock))
    seconds = clock.seconds
    if trainer.state.global_step:
        hold.apply()
    # Evaluate in fp32, as the dense model is: without this the autocast wrapper would stay on.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    state = trainer.state
    best = state.best_model_checkpoint
    return Trained(
        steps=state.global_step,
        best_step=int(best.rpartition("-")[2]) if best else state.global_step,
        nonzero=hold.verify(),
        seconds=seconds,
        refitted=refitted,
        mask=hold.mask if mask is not None else None,
    )


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint; incomplete ones, which a kill leaves, are deleted.

    The Trainer writes its state last, straight into the folder.
    """
    while (last := get_last_checkpoint(str(folder))) is not None:
        try:
            json.loads((Path(last) / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            with suppress(FileNotFoundError):  # another process may be deleting it as well
                shutil.rmtree(last)
        else:
            return str(last)
    return None


class ApplyMask(transformers.TrainerCallback):
    """Applies the mask after every optimizer step, before anything reads the weights."""

    def __init__(self, hold: MaskHold) -> None:
        self._hold = hold

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._hold.apply()

    on_train_begin = on_optimizer_step


class Tighten(transformers.TrainerCallback):
    """Makes each cut before the step that it is planned for."""

    def __init__(self, cuts: Cuts, hold: MaskHold, observer: Observer) -> None:
        self._cuts, self._hold, self._observer = cuts, hold, observer

    def on_step_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if state.global_step not in self._cuts.by_step:
            return
        mask = self._hold.mask
        if not ranks.is_follower():
            mask = self._cuts.cut(getattr(model, "module", model), mask, state.global_step)
        self._hold.tighten(_shared(mask))
        forget_dropped(optimizer, self._hold.kept)
        self._observer.metric("sparsity", self._hold.mask.sparsity, state.global_step)


def _shared(mask: Mask) -> Mask:
    """The leader's mask, in every process."""
    if ranks.world_size() == 1:
        return mask
    masks = [mask]
    torch.distributed.broadcast_object_list(masks)
    return masks[0]


@torch.no_grad()
def forget_dropped(optimizer: Any, kept: Mapping[nn.Parameter, torch.Tensor]) -> None:
    """Clear the optimizer's moments of dropped weights."""
    for parameter, keep in kept.items():
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                value.mul_(keep)


class _Report(transformers.TrainerCallback):
    """Passes curves and progress to the observer; stops when the loss is not finite."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        logs = logs or {}
        for name, value in logs.items():
            curve = CURVES.get(name)
            if curve is None and name.startswith("eval_") and name not in TIMINGS:
                curve = f"selection/{name.removeprefix('eval_')}"
            if curve is not None and isinstance(value, (int, float)):
                self._observer.metric(curve, float(value), state.global_step)
        if not math.isfinite(loss := logs.get("loss", 0.0)):
            raise RunFailed(
                f"The training loss is {loss} at step {state.global_step}.",
                "Lower --learning-rate, or use --precision fp32.",
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._observer.progress(state.global_step, state.max_steps, "steps")


class _Clock(transformers.TrainerCallback, ExportableState):
    """The seconds spent training. A checkpoint stores them for the process that resumes from it."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """Over all processes of this run, excluding work lost after a checkpoint."""
        return self._before + (time.monotonic() - self._began if self._began is not None else 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.monotonic()

    def state(self) -> dict[str, Any]:
        return {"args": {"before": self.seconds}, "attributes": {}}
