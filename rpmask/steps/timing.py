"""Time the parts of a training on this machine: a step, an evaluated row, a calibration row, a refit.

Each is carried out a few times on the task's own rows, with the model, batch size and loss of the work that
is planned. Nothing is kept.
"""

from __future__ import annotations

import copy
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rpmask.deploy.measure import pinned
from rpmask.heads.splits import Split
from rpmask.masks.weights import (
    Prunable,
    TensorWeights,
    block_of,
    find_prunable,
    weights_digest,
)
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import MaskRecipe
from rpmask.steps.inputs import Prepared
from rpmask.streams import generator
from rpmask.train.attention import fast_attention
from rpmask.train.batches import training_order
from rpmask.train.distill import distillation_loss
from rpmask.train.evaluate import evaluate
from rpmask.train.memory import sharing
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.parameters import parameter_groups
from rpmask.train.plan import Distillation, TrainPlan
from rpmask.train.refit import refit, refit_batches

STEPS, LONGEST = 8, 10.0  # timed steps, and the seconds after which no other is begun
EVALUATED, CALIBRATED, REFITTED = 128, 8, 32  # rows
FEWEST = 2  # rows that are evaluated, and with which an evaluation is warmed up
LARGE, PART = 50_000_000, 8  # prunable weights from which an eighth of the blocks is refitted
REFIT_PASSES = 4.0  # evaluated rows that take as long as one row: two models, forwards and products


@dataclass(frozen=True)
class Timings:
    """Seconds of each part on this machine, the model's parameters, and the memory of this process.

    step is a training step without the teacher, whose answers a training keeps; teacher is one batch of it.
    refit is that of a few rows; a row more costs `REFIT_PASSES` evaluated rows.
    """

    step: float
    teacher: float
    row: float
    calibration_row: float
    refit: float
    parameters: int
    prunable: int
    memory_bytes: int

    def refit_of(self, rows: int) -> float:
        """The seconds of a refit on so many rows."""
        if not rows:
            return 0.0
        return max(0.0, self.refit + REFIT_PASSES * self.row * (rows - REFITTED))


def measure(
    folder: str,
    prepared: Prepared,
    plan: TrainPlan,
    *,
    threads: int,
    sparsity: float,
    data_aware: bool,
    trains: bool,
) -> Timings:
    """Time a model on the first rows of a task's training.

    A refit and a calibration only if `data_aware`, steps of a training only if something `trains`.
    """
    spec, split = prepared.spec, prepared.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    attentions = plan.distill.attention > 0
    with pinned(max(1, threads)), torch.random.fork_rng(devices=[]):
        model = load_classifier(
            folder, spec, seed=plan.seed, attentions=attentions, dropout=plan.dropout
        ).to(device)
        tensors = find_prunable(model, (), ())
        row = _evaluated_row(model, prepared)
        calibration_row = refitted = 0.0
        if data_aware:
            rows = training_order(split, min(CALIBRATED, len(split)), 1, plan.seed)[0]
            names = [tensor.name for tensor in tensors]
            started = time.perf_counter()
            calibrate(model, split, spec, names, ["fisher"], seed=0, observer=Silent(), rows=rows)
            calibration_row = (time.perf_counter() - started) / len(rows)
            refitted = _refit(model, tensors, split, sparsity, plan.seed)
        step = teaching = 0.0
        if trains:
            teacher = copy.deepcopy(model).eval() if plan.distill.needs_teacher else None
            step, teaching = _step(model, teacher, split, plan, prepared)
    return Timings(
        step=step,
        teacher=teaching,
        row=row,
        calibration_row=calibration_row,
        refit=refitted,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        prunable=sum(tensor.numel for tensor in tensors),
        memory_bytes=_memory(device),
    )


def _evaluated_row(model: nn.Module, prepared: Prepared) -> float:
    held = prepared.selection
    # Of rows with many logits fewer are enough: one takes as long as many of a classifier.
    count = max(FEWEST, held.at_once(EVALUATED))
    some = held.take(generator(0, "timed").permutation(len(held.labels))[:count])
    evaluate(model, some.take(np.arange(min(FEWEST, len(some.labels)))), prepared.spec)
    started = time.perf_counter()
    evaluate(model, some, prepared.spec)
    return (time.perf_counter() - started) / len(some)


def _refit(
    model: nn.Module, tensors: Sequence[Prunable], split: Split, sparsity: float, seed: int
) -> float:
    """The seconds of a refit; of a large model's first blocks, in proportion to their weights."""
    total = sum(tensor.numel for tensor in tensors)
    blocks = list(dict.fromkeys(block_of(tensor.name) for tensor in tensors))
    first = blocks[: max(1, len(blocks) // PART)] if total > LARGE else blocks
    some = [tensor for tensor in tensors if block_of(tensor.name) in first]
    pruned = sharing(model)
    weights = TensorWeights(pruned)
    digest = weights_digest(weights, some)
    recipe = MaskRecipe(weights_digest=digest, seed=0, sparsity=sparsity, temperature=0.0)
    mask = draw_mask(recipe, weights, some)
    batches = refit_batches(split, min(REFITTED, len(split)), seed)
    started = time.perf_counter()
    refit(pruned, mask, batches, Silent())
    return (time.perf_counter() - started) * total / sum(tensor.numel for tensor in some)


def _step(
    model: nn.Module, teacher: nn.Module | None, split: Split, plan: TrainPlan, prepared: Prepared
) -> tuple[float, float]:
    """The mean seconds of a training step, and of the teacher's part of it."""
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(parameter_groups(model, plan.weight_decay), lr=0.0, fused=True)
    model.train()
    terms: Distillation = plan.distill
    order = training_order(split, plan.batch_size, STEPS + 1, plan.seed)
    begun, steps, teaching = time.perf_counter(), [], []
    with fast_attention((model, teacher), split, plan.precision):
        for number, rows in enumerate(order):
            some = rows[: split.at_once(len(rows))]  # as many as a training has in memory at once
            parts = len(rows) / len(some)
            batch = {name: value.to(device) for name, value in split.batch(some).items()}
            labels = batch.pop("labels")
            started = time.perf_counter()
            narrow = torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16")
            target = None
            if teacher is not None:
                with narrow, torch.no_grad():
                    target = teacher(**batch, **terms.outputs)
            taught = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with narrow:
                outputs = model(**batch, **terms.outputs)
            loss = distillation_loss(
                outputs,
                target,
                labels,
                batch.get("attention_mask"),
                prepared.spec,
                terms,
                split.max_length,
            )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            loss.item()
            done = time.perf_counter()
            if number:  # the first one warms up
                steps.append((done - taught) * parts)
                teaching.append((taught - started) * parts)
            if number and done - begun > LONGEST:
                break
    return sum(steps) / len(steps), sum(teaching) / len(teaching)


def _memory(device: torch.device) -> int:
    """The most memory that this process has taken: on the device, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
