"""Train candidates for early evaluation: one model, reset to the level's starting weights for each.

A worker holds one candidate at a time. Between rungs a candidate is a few arrays (its parameters and the
optimizer's moments, without the pruned positions), so any worker can continue it, also after an
interruption, and get the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.engines.engine import Indexed
from rpmask.errors import RunFailed
from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.randomized_masks.race_models import RaceModels
from rpmask.randomized_masks.race_score import (
    Evaluation,
    Evaluator,
    as_tensors,
    from_tensors,
    mean_of,
)
from rpmask.randomized_masks.race_state import captured, restore
from rpmask.randomized_masks.race_training import RaceTraining, rate_share, regular, stops
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.attention import fast_attention
from rpmask.train.batches import training_order
from rpmask.train.distill import distillation_loss
from rpmask.train.observer import Silent
from rpmask.train.parameters import frozen_embeddings, parameter_groups
from rpmask.train.refit import refit, refit_batches
from rpmask.train.teacher import StepCachedTeacher

# A training state: bytes for a worker, and elsewhere what an engine has in their place.
State = Any


@dataclass(frozen=True)
class RaceSetup:
    """Everything a worker is built from; picklable. Masks are packed, and digests prove them."""

    models: RaceModels
    masks: Indexed[Mask]
    digests: tuple[str, ...]
    task: TaskSpec
    training: RaceTraining
    train: Split
    held_out: Split


@dataclass(frozen=True)
class Leg:
    """Train one candidate from one rung to the next, from the state that the last rung left.

    Without a state it is trained from the beginning, to the same numbers.
    """

    candidate: int
    rung: int
    from_step: int
    to_step: int
    state: State | None = field(repr=False)
    keep_state: bool = True


@dataclass(frozen=True)
class LegResult:
    """A candidate's score at a rung, and the training state for the next leg."""

    candidate: int
    rung: int
    step: int
    score: Evaluation = field(repr=False)
    train_loss: float
    state: State | None = field(default=None, repr=False)
    refit_seconds: float = 0.0
    train_seconds: float = 0.0


class RaceWorker:
    """Runs legs. Built once per worker process, then called once per leg."""

    def __init__(self, setup: RaceSetup) -> None:
        self._setup = setup
        torch.set_num_threads(setup.training.threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with _out_of_memory(
            "The models of a race do not fit into the device's memory",
            "Let fewer share the device (--workers), or race without the dense model (--race-labels).",
        ):
            self._load_models()
        training = setup.training
        self._order = training_order(
            setup.train, training.batch_size, training.full_steps, training.seed
        )

    def _load_models(self) -> None:
        models, training = self._setup.models, self._setup.training
        attentions = training.distill.attention > 0
        model, self._start = models.start(attentions=attentions, dropout=training.dropout)
        self._model = model.to(self._device)
        self._dense: nn.Module | None = None
        self._teacher: StepCachedTeacher | None = None  # the dense model's outputs, cached per step
        if training.distill.needs_teacher:
            dense = models.dense(attentions=attentions).to(self._device)
            self._dense = dense.eval().requires_grad_(False)
            self._teacher = StepCachedTeacher(dense, training.distill)
        self._evaluator = Evaluator(self._setup.task, self._setup.held_out, self._dense)

    def __call__(self, leg: Leg) -> LegResult:
        """Train a candidate over the steps of a leg and evaluate it at the end."""
        with _out_of_memory(
            f"Candidate {leg.candidate} does not fit into the device's memory",
            "Let fewer share the device (--workers), or use a smaller --batch-size.",
        ):
            return self._run(leg)

    def _run(self, leg: Leg) -> LegResult:
        training = self._setup.training
        self._model.load_state_dict(self._start)
        hold = MaskHold(self._model, self._mask(leg.candidate))
        started = time.monotonic()
        if leg.state is None and training.refit:
            rows = refit_batches(self._setup.train, training.refit, training.seed)
            refit(self._model, hold.mask, rows, Silent())
        refit_seconds = time.monotonic() - started
        hold.apply()
        with ExitStack() as stack:
            if training.freeze_embeddings:
                stack.enter_context(frozen_embeddings(self._model, hold.mask.names))
            optimizer = torch.optim.AdamW(
                parameter_groups(self._model, training.weight_decay),
                lr=training.learning_rate,
                fused=True,
            )
            evaluations: list[Evaluation] = []  # those that a score may count
            if leg.state is not None:
                evaluations = from_tensors(restore(self._model, optimizer, hold, leg.state))
            self._model.train()
            total, train_seconds = 0.0, 0.0
            at = leg.from_step if leg.state is not None else 0
            networks = (self._model, self._dense)
            for stop in stops(at, leg.to_step, training):
                started = time.monotonic()
                with (
                    fast_attention(networks, self._setup.train, training.precision),
                    hold.gradients_masked(),
                ):
                    for step in range(at, stop):
                        loss = self._step(optimizer, hold, step)
                        if not np.isfinite(loss):
                            return self._broken(leg)
                        total += loss if step >= leg.from_step else 0.0
                train_seconds += time.monotonic() - started
                try:
                    evaluations.append(self._evaluator(self._model))
                except RunFailed:  # the last step's weights give no finite answer
                    return self._broken(leg)
                at = stop
            score = mean_of(evaluations[-training.scored_evaluations :])
            if not regular(leg.to_step, training):
                del evaluations[-1]  # it was made only because the leg ends here
            notes = as_tensors(evaluations[-training.scored_evaluations :])
            state = captured(self._model, optimizer, hold, notes) if leg.keep_state else None
        train_loss = total / max(1, leg.to_step - leg.from_step)
        return LegResult(
            candidate=leg.candidate,
            rung=leg.rung,
            step=leg.to_step,
            score=score,
            train_loss=train_loss,
            state=state,
            refit_seconds=refit_seconds,
            train_seconds=train_seconds,
        )

    def _broken(self, leg: Leg) -> LegResult:
        """The result of a candidate whose numbers are not finite; the race marks it as failed."""
        nothing = self._evaluator.broken()
        return LegResult(leg.candidate, leg.rung, leg.to_step, nothing, train_loss=np.nan)

    def _mask(self, candidate: int) -> Mask:
        """The candidate's mask, proved by its digest."""
        mask, expected = self._setup.masks[candidate], self._setup.digests[candidate]
        if mask.digest != expected:
            raise RunFailed(
                f"The mask of candidate {candidate} reached its worker as {mask.digest[:16]}, "
                f"the pool says {expected[:16]}.",
                "It was damaged on the way; give the same command again to continue the race.",
            )
        return mask

    def _step(self, optimizer: torch.optim.Optimizer, hold: MaskHold, step: int) -> float:
        training = self._setup.training
        # Dropout is part of the common random numbers: the same noise for every candidate.
        seed = generator(training.seed, "dropout", str(step)).integers(2**62)
        torch.manual_seed(int(seed))
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate_share(step, training)
        rows, data = self._order[step], self._setup.train
        parts = np.array_split(rows, -(-len(rows) // data.at_once(len(rows))))
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, part in enumerate(parts):
            loss = self._loss(data.batch(part), (step, number)) * (len(part) / len(rows))
            loss.backward()
            total += float(loss.detach())
        if training.max_grad_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), training.max_grad_norm)
        optimizer.step()
        hold.apply()
        return total

    def _loss(self, batch: dict[str, torch.Tensor], part: tuple[int, int]) -> torch.Tensor:
        """The loss of a part of a step's rows, as many as fit into memory."""
        training = self._setup.training
        batch = {name: value.to(self._device) for name, value in batch.items()}
        labels = batch.pop("labels")
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=training.precision == "bf16"
        ):
            outputs = self._model(**batch, **training.distill.outputs)
            target = self._teacher(part, batch) if self._teacher is not None else None
        return distillation_loss(
            outputs,
            target,
            labels,
            batch.get("attention_mask"),
            self._setup.task,
            training.distill,
            self._setup.train.max_length,
        )


@contextmanager
def _out_of_memory(message: str, hint: str) -> Iterator[None]:
    """Report a device that is out of memory as an error for the user."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunFailed(f"{message}: {error}", hint) from error
