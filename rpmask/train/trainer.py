"""Train a masked model with transformers.Trainer; the mask holds at every optimizer step.

The Trainer does the loop, resuming, mixed precision and several devices. Added here: the mask, the
distillation loss, and a check before every save that no zero was refilled.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import get_last_checkpoint

from rpmask import ranks
from rpmask.errors import RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.tasks.metrics import compute
from rpmask.tasks.spec import TaskSpec
from rpmask.train.arguments import training_arguments
from rpmask.train.attention import quick_attention
from rpmask.train.augment import with_altered
from rpmask.train.batches import Encoded
from rpmask.train.decay import decaying_names
from rpmask.train.distill import distillation_loss
from rpmask.train.freeze import frozen_embeddings
from rpmask.train.images import ImageRows
from rpmask.train.observer import Observer
from rpmask.train.order import EpochOrder
from rpmask.train.plan import LABELS_ONLY, Distillation, TrainPlan
from rpmask.train.refit import refit, refit_batches
from rpmask.train.teacher import ROW, Asked, Numbered, Teacher, keep_answers


@dataclass(frozen=True)
class Trained:
    """What came of a training: the model holds the best weights on the selection split.

    refitted is how many matrices were refitted first, if this process began the training.
    """

    steps: int
    best_step: int
    nonzero: int
    seconds: float
    refitted: int | None = None


class MaskedTrainer(transformers.Trainer):
    """A Trainer whose model is held to a mask and learns from a teacher."""

    def __init__(
        self,
        *arguments: Any,
        task: TaskSpec,
        terms: Distillation,
        hold: MaskHold | None,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._task, self._terms, self._hold = task, terms, hold
        self._teacher: Teacher | None = None
        self._full_length: int | None = None
        # The loss below is a mean over the batch; the Trainer divides it under accumulation.
        self.loss_is_scaled_for_ga = False
        self.model_accepts_loss_kwargs = False

    def learn_from(self, network: nn.Module, train_set: Encoded | ImageRows) -> None:
        """Distil from this network; its answers are kept if rows come more than once."""
        self._full_length = getattr(train_set, "most", None)  # images have none
        kept = None
        if self.args.max_steps * self.args.train_batch_size > len(train_set):
            with self.accelerator.autocast():
                kept = keep_answers(network, train_set, self._terms)
        self._teacher = Asked(network, self._terms) if kept is None else kept

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Labels, logits, hidden states and attention maps, each by its weight."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        rows = inputs.pop(ROW, torch.empty(0))
        training = model.training
        terms = self._terms if training else LABELS_ONLY
        outputs = model(**inputs, **terms.outputs)
        target = None
        if training and self._teacher is not None:
            with self.accelerator.autocast():  # the Trainer wraps the model alone in it
                target = self._teacher(rows, inputs)
        loss = distillation_loss(
            outputs,
            target,
            labels,
            inputs.get("attention_mask"),
            self._task,
            terms,
            self._full_length,
        )
        if not return_outputs:
            return loss
        # Evaluation needs the logits alone; hidden states would be gathered for every row.
        return loss, {"logits": outputs.logits}

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """By the rule that a race has as well."""
        return decaying_names(model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """So that an epoch which is resumed goes on as it began."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        return EpochOrder(
            self.train_dataset.lengths,
            self.args.train_batch_size
            * ranks.world_size()  # which take its batches in turn
            * self.args.gradient_accumulation_steps,
            self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self._hold is not None:
            self._hold.verify()
        with own_names(self.model):
            super()._save(output_dir, state_dict)


@contextmanager
def own_names(model: nn.Module) -> Iterator[None]:
    """Save a model's tensors as it names them now, not as the file that it came from did.

    The Trainer reads its checkpoints back by the names of now, and leaves out what it does not find: of an
    older BERT every LayerNorm, of a ViT the encoder.
    """
    known = vars(model).get("_weight_conversions")
    model._weight_conversions = []  # type: ignore[assignment]
    try:
        yield
    finally:
        if known is None:
            del model._weight_conversions
        else:
            model._weight_conversions = known


class MaskKeeper(transformers.TrainerCallback):
    """Puts the mask back on after every optimizer step, before anything reads the weights."""

    def __init__(self, hold: MaskHold) -> None:
        self._hold = hold

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._hold.apply()

    on_train_begin = on_optimizer_step  # a resumed checkpoint was verified when saved; once more


class _Report(transformers.TrainerCallback):
    """Passes curves and progress to the observer; stops at a loss that is not a number."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def on_log(self, _: Any, state: Any, __: Any, logs: Any = None, **___: Any) -> None:
        for name, value in (logs or {}).items():
            if isinstance(value, (int, float)) and name in _CURVES:
                self._observer.metric(_CURVES[name], float(value), state.global_step)
            elif name.startswith("eval_") and name not in _SKIPPED:
                self._observer.metric(
                    f"selection/{name.removeprefix('eval_')}", float(value), state.global_step
                )
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            raise RunFailed(
                f"The training loss is {loss} at step {state.global_step}.",
                "Lower --learning-rate, or use --precision fp32.",
            )

    def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        self._observer.progress(state.global_step, state.max_steps, "steps")


class _Clock(transformers.TrainerCallback, ExportableState):
    """The seconds spent training; a checkpoint keeps them for the process that goes on from it."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """What all processes of this training spent, but for what they lost after their last checkpoint."""
        return self._before + (time.monotonic() - self._began if self._began is not None else 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.monotonic()

    def state(self) -> dict[str, Any]:
        return {"args": {"before": self.seconds}, "attributes": {}}


_CURVES = {"loss": "train/loss", "learning_rate": "train/learning_rate", "grad_norm": "train/grad"}
_SKIPPED = {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}


def train(
    model: nn.Module,
    mask: Mask | None,
    teacher: nn.Module | None,
    train_set: Encoded | ImageRows,
    selection: Encoded | ImageRows,
    task: TaskSpec,
    plan: TrainPlan,
    folder: Path,
    observer: Observer,
) -> Trained:
    """Train to the best weights on the selection split; resumes from the folder's checkpoint."""
    torch.set_num_threads(max(1, plan.threads // ranks.local_size()))
    if teacher is not None:
        teacher.eval().requires_grad_(False)
    arguments = training_arguments(plan, task, len(train_set), folder)
    if teacher is not None:
        teacher.to(arguments.device)
    model.to(arguments.device)
    # Of several processes one makes the folder, and all look in it.
    folder.mkdir(parents=True, exist_ok=True)
    begun = _last_whole_checkpoint(folder)
    hold = MaskHold(model, mask) if mask is not None else None
    refitted = None
    if hold is not None:
        if plan.refit and begun is None:
            started = time.monotonic()
            refitted = refit(
                model, hold.mask, refit_batches(train_set, plan.refit, plan.seed), observer
            )
            observer.metric("refit_seconds", time.monotonic() - started, 0)
        hold.apply()
    callbacks: list[transformers.TrainerCallback] = [_Report(observer), _Clock()]
    if hold is not None:
        callbacks.append(MaskKeeper(hold))
    if plan.patience:
        callbacks.append(transformers.EarlyStoppingCallback(plan.patience))
    learnt = with_altered(train_set, plan.augment, plan.seed) if plan.augment else train_set
    numbered = Numbered(learnt)
    trainer = MaskedTrainer(
        model=model,
        args=arguments,
        train_dataset=numbered,
        eval_dataset=selection,
        data_collator=numbered.collate,
        compute_metrics=lambda output: compute(task, output.predictions, output.label_ids),
        callbacks=callbacks,
        task=task,
        terms=plan.distill,
        hold=hold,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    with ExitStack() as stack:
        stack.enter_context(quick_attention((model, teacher), train_set, plan.precision))
        if teacher is not None:
            trainer.learn_from(teacher, learnt)
        if plan.freeze_embeddings:
            stack.enter_context(frozen_embeddings(model, mask.names if mask is not None else ()))
        if hold is not None:
            stack.enter_context(hold.gradients_masked())
        trainer.train(resume_from_checkpoint=begun)
    # A resumed Trainer puts a new one, which knows the seconds before, in the place of the one above.
    (clock,) = (one for one in trainer.callback_handler.callbacks if isinstance(one, _Clock))
    seconds = clock.seconds
    if hold is not None:
        hold.apply()
    # Else it would go on answering in the training's precision, beside a dense model that does not.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    state = trainer.state
    best = state.best_model_checkpoint
    return Trained(
        steps=state.global_step,
        best_step=int(best.rpartition("-")[2]) if best else state.global_step,
        nonzero=hold.verify() if hold is not None else 0,
        seconds=seconds,
        refitted=refitted,
    )


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The latest checkpoint that was written to its end; one cut short by a kill is removed.

    The Trainer writes its state last, straight into the folder.
    """
    while (last := get_last_checkpoint(str(folder))) is not None:
        try:
            json.loads((Path(last) / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            with suppress(FileNotFoundError):  # another process is at it as well
                shutil.rmtree(last)
        else:
            return str(last)
    return None
