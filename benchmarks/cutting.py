"""How a mask comes about, and what is kept: one look, sub-steps, and cuts while the weights train.

    RPMASK_GLUE_DIR=glue python benchmarks/cutting.py --dense FOLDER    # writes benchmarks/cutting.json
    RPMASK_GLUE_DIR=glue python benchmarks/cutting.py --dense FOLDER --rows rates    # benchmarks/rates.json
    RPMASK_GLUE_DIR=glue python benchmarks/cutting.py --dense FOLDER --rows rising   # benchmarks/rising.json

FOLDER is a model fine-tuned on the task. Each row prunes it by the Fisher information with one threshold for
all tensors, refits the kept weights, and trains them at 4e-4. Rows of `rates` have other rates and batches,
for the same number of examples. In rows of `rising` the learning rate rises for a tenth of the steps, or
until the last cut as in `finetune --tighten`, and then falls to zero. Distances are Kullback-Leibler
divergences of answers from the dense model's, on dev and on the selection split.

Rows that the file has already are not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import rpmask
from rpmask.files import write_whole
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.substeps import importance_after_substeps
from rpmask.randomized_masks.tightening import Tightening, cuts_by_step
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.inputs import Prepared, load_data, prepare
from rpmask.train.batches import calibration_rows
from rpmask.train.evaluate import Evaluation, evaluate
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.plan import TrainPlan
from rpmask.train.refit import refit, refit_batches
from rpmask.train.trainer import Cuts, train


@dataclass(frozen=True)
class Row:
    """One way to a sparsity. `tightened` is the share of the training in which the mask is cut.

    refit is the number of rows for a refit before the training, or after each of the cuts. rise is the share
    of the training in which the learning rate rises.
    """

    sparsity: float
    epochs: float
    substeps: int = 1
    calibration: int = 256
    refit: int = 256
    tightened: float = 0.0
    cuts: int = 10
    batch: int = 32
    rate: float = 4e-4
    rise: float = 0.1
    precision: str = "fp32"


RATES = tuple(
    Row(0.97, 3, refit=0, tightened=0.7, batch=batch, rate=rate, precision="bf16")
    for rate in (4e-4, 8e-4)
    for batch in (32, 16)
)
RISING = tuple(
    Row(0.97, 3, refit=0, tightened=0.7, rate=8e-4, rise=rise, precision="bf16")
    for rise in (0.1, 0.7)
)
CUTTING = (
    Row(0.97, 0),
    Row(0.97, 0, calibration=1024, refit=1024),
    Row(0.97, 0, substeps=4, refit=1024),
    Row(0.97, 0, substeps=4, calibration=1024, refit=1024),
    Row(0.97, 3, refit=0, tightened=0.7),
    Row(0.97, 3),
    Row(0.99, 3, refit=0, tightened=0.7),
    Row(0.99, 3),
    Row(0.97, 3, substeps=4, calibration=1024),
    Row(0.97, 3, tightened=0.7),
    Row(0.97, 3, refit=0, tightened=0.5),
    Row(0.97, 3, refit=0, tightened=0.7, cuts=20),
    Row(0.99, 3, refit=0, tightened=0.5),
    Row(0.99, 3, substeps=4, calibration=1024),
)


ROWS = {"cutting": CUTTING, "rates": RATES, "rising": RISING}


@dataclass(frozen=True)
class Refitted:
    """Cuts after each of which the kept weights are refitted."""

    cuts: Tightening
    rows: int

    @property
    def by_step(self) -> Mapping[int, float]:
        return self.cuts.by_step

    def cut(self, model: nn.Module, mask: Mask, step: int) -> Mask:
        """Make the cut, and refit."""
        found = self.cuts.cut(model, mask, step)
        refit(model, found, refit_batches(self.cuts.data, self.rows, step), Silent())
        return found


class Task:
    """A task with its dense model, loaded once."""

    def __init__(self, name: str, dense: str, rows: int | None, seed: int) -> None:
        choice = DataChoice(train_rows=rows)
        self.data = load_data(name, choice)
        self.prepared: Prepared = prepare(self.data, choice, dense)
        self.folder, self.seed = dense, seed
        self.dense = load_classifier(dense, self.data.spec)
        self.dev = next(iter(self.prepared.dev().values()))
        self.answers = evaluate(self.dense, self.dev, self.data.spec)
        self.selected = evaluate(self.dense, self.prepared.selection, self.data.spec)

    def model(self) -> nn.Module:
        """The dense model, to be pruned."""
        return load_classifier(self.folder, self.data.spec, dropout=0.0)

    def measured(self, model: nn.Module) -> dict[str, float]:
        """Dev of a pruned model beside the dense one."""
        found = evaluate(model, self.dev, self.data.spec)
        primary = self.data.spec.primary
        return {
            primary: found.metrics[primary],
            "kept": found.metrics[primary] / self.answers.metrics[primary],
            "distance": _divergence(self.answers, found),
            "selection_distance": _divergence(
                self.selected, evaluate(model, self.prepared.selection, self.data.spec)
            ),
            "agreement": float(np.mean(self.answers.logits.argmax(1) == found.logits.argmax(1))),
        }


def _divergence(dense: Evaluation, found: Evaluation) -> float:
    ours, theirs = (torch.from_numpy(each.logits).log_softmax(-1) for each in (found, dense))
    return float((theirs.exp() * (theirs - ours)).sum(-1).mean())


def walked(task: Task, row: Row) -> dict[str, Any]:
    """Prune and train as the row says."""
    model = task.model()
    tensors = find_prunable(model)
    source = TensorWeights(model)
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=task.seed,
        sparsity=row.sparsity,
        temperature=0.0,
        importance="fisher",
        allocation=1.0,
    )
    started = time.process_time()
    mask, cuts = (
        (_whole(tensors), _cutting(task, row, recipe))
        if row.tightened
        else (_drawn(task, row, recipe, model, tensors), None)
    )
    drawn = time.process_time()
    plan = TrainPlan(
        epochs=row.epochs,
        learning_rate=row.rate,
        warmup=row.rise,
        batch_size=row.batch,
        precision=row.precision,
        refit=0 if row.tightened else row.refit,
        freeze_embeddings=True,
        seed=task.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            model,
            mask,
            task.dense,
            task.prepared.train,
            task.prepared.selection,
            task.data.spec,
            plan,
            Path(folder),
            Silent(),
            cuts,
        )
    return {
        **asdict(row),
        "seed": task.seed,
        "steps": trained.steps,
        "mask_seconds": round(drawn - started, 1),
        "training_seconds": round(time.process_time() - drawn, 1),
        **task.measured(model),
    }


def _whole(tensors: tuple[Prunable, ...]) -> Mask:
    return Mask.from_bools({t.name: torch.ones(t.shape, dtype=torch.bool) for t in tensors})


def _drawn(
    task: Task, row: Row, recipe: MaskRecipe, model: nn.Module, tensors: tuple[Prunable, ...]
) -> Mask:
    chosen = calibration_rows(len(task.prepared.train), row.calibration, task.seed)
    found = importance_after_substeps(
        model,
        task.prepared.train.take(chosen),
        task.data.spec,
        tensors,
        recipe,
        None,
        substeps=row.substeps,
        observer=Silent(),
    )
    recipe = replace(recipe, importance_digest=found.digest, substeps=found.substeps)
    return draw_mask(recipe, TensorWeights(model), tensors, statistics={"fisher": found})


def _cutting(task: Task, row: Row, recipe: MaskRecipe) -> Callable[[int], Cuts]:
    def cuts(steps: int) -> Cuts:
        planned = Tightening(
            recipe,
            cuts_by_step(0.0, row.sparsity, steps, row.tightened, row.cuts),
            task.prepared.train,
            task.data.spec,
        )
        return Refitted(planned, row.refit) if row.refit else planned

    return cuts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dense", required=True, help="a model fine-tuned on the task")
    parser.add_argument("--task", default="cola")
    parser.add_argument("--train-rows", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", choices=tuple(ROWS), default="cutting")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.out = asked.out or Path(__file__).with_name(f"{asked.rows}.json")
    torch.set_num_threads(1)
    before = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": [], "dense": {}}
    known, dense = before["rows"], before["dense"]
    task = Task(asked.task, asked.dense, asked.train_rows, asked.seed)
    dense[asked.task] = task.answers.metrics[task.data.spec.primary]
    for row in ROWS[asked.rows]:
        label = {**asdict(row), "task": asked.task, "seed": asked.seed}
        if any(label.items() <= each.items() for each in known):
            continue
        known.append({"task": asked.task, **walked(task, row)})
        document = {
            "command": f"python benchmarks/cutting.py --dense FOLDER --rows {asked.rows}",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
            "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
            "dense": dense,
            "rows": known,
        }
        write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())
        print(json.dumps(known[-1]), flush=True)


if __name__ == "__main__":
    main()
