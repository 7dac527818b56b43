"""Where candidates run: one model, put back to the level's starting weights for each of them.

An arena holds one candidate at a time. Between rungs a candidate is a few arrays (its parameters
and the optimizer's moments, pruned positions left out), so any worker can continue it, after any
interruption, to the same numbers.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from rpmask.errors import RunFailed
from rpmask.jsonrecord import Record
from rpmask.learn.attention import quick_attention
from rpmask.learn.batches import Split, generator, training_order
from rpmask.learn.candidatestate import captured, restore
from rpmask.learn.confidence import settled_distances, settled_losses
from rpmask.learn.contenders import Contenders
from rpmask.learn.distill import distillation_loss
from rpmask.learn.evaluate import Evaluation, evaluate
from rpmask.learn.freeze import frozen_embeddings
from rpmask.learn.observer import Silent
from rpmask.learn.plan import LABELS_ONLY, Distillation
from rpmask.learn.refit import refit, refit_batches
from rpmask.learn.teacher import Remembered
from rpmask.masks.masked import MaskHold
from rpmask.tasks.spec import TaskSpec


@dataclass(frozen=True)
class RaceTraining(Record):
    """How every candidate of a race is trained. The defaults are the paper's early evaluation.

    refit is the number of rows on which each one's kept weights are refitted first; distill, dropout and
    freeze_embeddings are those of a training (`learn/plan.py`).
    """

    full_steps: int
    batch_size: int = 32
    learning_rate: float = 2e-4
    refit: int = 0
    distill: Distillation = LABELS_ONLY
    dropout: float | None = None
    freeze_embeddings: bool = False
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    threads: int = 1
    precision: str = "fp32"


@dataclass(frozen=True)
class ArenaSetup:
    """Everything a worker needs to build an arena; picklable."""

    contenders: Contenders
    task: TaskSpec
    training: RaceTraining
    train: Split
    held_out: Split


@dataclass(frozen=True)
class Leg:
    """Take one candidate from one rung to the next. state is what the rung before left behind."""

    candidate: int
    rung: int
    from_step: int
    to_step: int
    state: bytes | None = field(repr=False)
    keep_state: bool = True


@dataclass(frozen=True)
class LegResult:
    """What a leg found out, and the training state to go on from.

    losses are of the labels; distances, from the dense model's answers, are what a distilled race ranks by.
    """

    candidate: int
    rung: int
    step: int
    losses: np.ndarray = field(repr=False)  # (held-out rows,)
    metric: float
    train_loss: float
    state: bytes | None = field(repr=False)
    refit_seconds: float = 0.0
    train_seconds: float = 0.0
    distances: np.ndarray | None = field(default=None, repr=False)  # (held-out rows,)


class Arena:
    """Runs legs. Built once a worker; called once a leg."""

    def __init__(self, setup: ArenaSetup) -> None:
        try:
            self._build(setup)
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"The models of a race do not fit into the device's memory: {error}",
                "Let fewer share the device (--workers), or race without the dense model (--race-labels).",
            ) from error

    def _build(self, setup: ArenaSetup) -> None:
        self._setup = setup
        torch.set_num_threads(setup.training.threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        training = setup.training
        attentions = training.distill.attention > 0
        model, self._start = setup.contenders.opened(
            attentions=attentions, dropout=training.dropout
        )
        self._model = model.to(self._device)
        self._dense: nn.Module | None = None
        self._teacher: Remembered | None = None  # the dense model, asked once a step
        self._answers: np.ndarray | None = None  # the teacher's on the held-out rows
        if training.distill.needs_teacher:
            dense = setup.contenders.teacher(attentions=attentions).to(self._device)
            self._dense = dense.eval().requires_grad_(False)
            self._teacher = Remembered(dense, training.distill)
            self._answers = evaluate(dense, setup.held_out, setup.task).logits
        self._order = training_order(
            setup.train, training.batch_size, training.full_steps, training.seed
        )

    def __call__(self, leg: Leg) -> LegResult:
        """Train a candidate over the steps of a leg and evaluate it at the end."""
        try:
            return self._run(leg)
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"Candidate {leg.candidate} does not fit into the device's memory: {error}",
                "Let fewer share the device (--workers), or use a smaller --batch-size.",
            ) from error

    def _run(self, leg: Leg) -> LegResult:
        training = self._setup.training
        self._model.load_state_dict(self._start)
        hold = MaskHold(self._model, self._setup.contenders.mask(leg.candidate))
        started = time.monotonic()
        if leg.state is None and training.refit:
            rows = refit_batches(self._setup.train, training.refit, training.seed)
            refit(self._model, hold.mask, rows, Silent())
        refitted = time.monotonic()
        hold.apply()
        with ExitStack() as stack:
            if training.freeze_embeddings:
                stack.enter_context(frozen_embeddings(self._model, hold.mask.names))
            optimizer = torch.optim.AdamW(
                [p for p in self._model.parameters() if p.requires_grad],
                lr=training.learning_rate,
                weight_decay=training.weight_decay,
                fused=True,
            )
            if leg.state is not None:
                restore(self._model, optimizer, hold.mask, leg.state)
            self._model.train()
            total = 0.0
            networks = (self._model, self._dense)
            stack.enter_context(quick_attention(networks, self._setup.train, training.precision))
            stack.enter_context(hold.gradients_masked())
            for step in range(leg.from_step, leg.to_step):
                total += self._step(optimizer, hold, step)
                if not np.isfinite(total):
                    return self._broken(leg)
            trained = time.monotonic()
            state = captured(self._model, optimizer, hold.mask) if leg.keep_state else None
        try:
            evaluation = evaluate(self._model, self._setup.held_out, self._setup.task)
        except RunFailed:  # the last step's weights give no finite answer
            return self._broken(leg)
        return LegResult(
            candidate=leg.candidate,
            rung=leg.rung,
            step=leg.to_step,
            losses=self._comparable(evaluation),
            metric=evaluation.metrics[self._setup.task.primary],
            train_loss=total / (leg.to_step - leg.from_step),
            state=state,
            refit_seconds=refitted - started,
            train_seconds=trained - refitted,
            distances=self._distances(evaluation),
        )

    def _comparable(self, evaluation: Evaluation) -> np.ndarray:
        """The losses of the labels, as they are compared."""
        if self._setup.task.kind == "regression":
            return evaluation.losses
        return settled_losses(evaluation.logits, np.asarray(self._setup.held_out.labels))

    def _distances(self, evaluation: Evaluation) -> np.ndarray | None:
        if self._answers is None:
            return None
        if self._setup.task.kind == "regression":
            return np.square(evaluation.logits - self._answers).mean(axis=1)
        return settled_distances(evaluation.logits, self._answers)

    def _broken(self, leg: Leg) -> LegResult:
        """A candidate whose loss is no number any more; the race marks it failed and goes on."""
        nothing = np.full(len(self._setup.held_out), np.nan)
        return LegResult(
            candidate=leg.candidate,
            rung=leg.rung,
            step=leg.to_step,
            losses=nothing,
            metric=np.nan,
            train_loss=np.nan,
            state=None,
            distances=None if self._answers is None else nothing,
        )

    def _step(self, optimizer: torch.optim.Optimizer, hold: MaskHold, step: int) -> float:
        training = self._setup.training
        # Dropout is part of the common random numbers: the same noise for every candidate.
        torch.manual_seed(int(generator(training.seed, "dropout", str(step)).integers(2**62)))
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * _linear(step, training)
        batch = self._setup.train.batch(self._order[step])
        batch = {name: value.to(self._device) for name, value in batch.items()}
        labels = batch.pop("labels")
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=training.precision == "bf16"
        ):
            outputs = self._model(**batch, **training.distill.outputs)
            target = self._teacher(step, batch) if self._teacher is not None else None
        loss = distillation_loss(
            outputs,
            target,
            labels,
            batch.get("attention_mask"),
            self._setup.task,
            training.distill,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), training.max_grad_norm)
        optimizer.step()
        hold.apply()
        return float(loss.detach())


def _linear(step: int, training: RaceTraining) -> float:
    """Linear warm-up and decay over the full schedule, of which a race runs the first part."""
    warm = max(1, round(training.warmup * training.full_steps))
    if step < warm:
        return (step + 1) / warm
    return max(0.0, (training.full_steps - step) / max(1, training.full_steps - warm))
