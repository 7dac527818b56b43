"""What a refit takes: the two solvers on one matrix, and a whole refit beside training steps.

    RPMASK_GLUE_DIR=glue python benchmarks/refitting.py --dense FOLDER    # writes benchmarks/refitting.json

FOLDER is a model fine-tuned on CoLA. Both solvers solve the same system in turn; `error` is by which share
the squared error of conjugate gradients differs. A refit on 256 rows is compared with distilled training
steps of 32 rows. Seconds are the processor's, on one thread.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rpmask
from rpmask.files import write_whole
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.inputs import Prepared, load_data, prepare
from rpmask.train import least_squares
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.plan import TrainPlan
from rpmask.train.refit import refit, refit_batches
from rpmask.train.trainer import train

SHAPES = ((576, 576), (1536, 576), (1536, 384), (384, 1536), (384, 384))  # in, out
DENSITIES = (0.5, 0.17, 0.06)
STEPS = 60
ROWS = 6000  # of inputs


def taken(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds, and the result."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def solvers(width: int, out: int, density: float) -> dict[str, Any]:
    """One system by both solvers."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    seen = normal(ROWS, width // 4) @ normal(width // 4, width) + 0.5 * normal(ROWS, width)
    seen = seen * torch.exp(0.7 * normal(width)) + normal(width)
    seen = torch.cat([seen, torch.ones(ROWS, 1)], dim=1)
    gram, start = seen.T @ seen, 0.05 * normal(width + 1, out)
    keep = torch.rand(out, width, generator=random) < density
    target = gram @ start
    chosen = least_squares._many_kept(torch.cat([keep, keep[:, :1]], dim=1), on_gpu=False)
    seconds, errors = {}, {}
    before = least_squares.FACTORIZATION_COST
    for name, cost in (("factorized", 0.0), ("conjugate gradients", 1e9)):
        least_squares.FACTORIZATION_COST = cost
        seconds[name], found = taken(
            lambda: least_squares.solve_kept(gram, target, start, keep, True)
        )
        errors[name] = float(((seen.double() @ (found - start).double()) ** 2).sum())
    least_squares.FACTORIZATION_COST = before
    return {
        "shape": [width, out],
        "density": density,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "error": errors["conjugate gradients"] / errors["factorized"] - 1.0,
        "chosen": "conjugate gradients" if chosen else "factorized",
    }


def magnitude(model: nn.Module, sparsity: float) -> Mask:
    """The magnitude mask of a sparsity."""
    tensors, source = find_prunable(model), TensorWeights(model)
    recipe = MaskRecipe(weights_digest(source, tensors), 0, sparsity, temperature=0.0)
    return draw_mask(recipe, source, tensors)


def in_steps(dense: str) -> list[dict[str, Any]]:
    """A refit at each sparsity, in training steps of the same model and rows."""
    data = load_data("cola", DataChoice())
    prepared: Prepared = prepare(data, DataChoice(), dense)
    model = load_classifier(dense, data.spec, dropout=0.0)
    plan = replace(TrainPlan(), max_steps=STEPS, evaluations=1, refit=0, freeze_embeddings=True)
    with tempfile.TemporaryDirectory() as folder:
        seconds, trained = taken(
            lambda: train(
                copy.deepcopy(model),
                magnitude(model, 0.9375),
                load_classifier(dense, data.spec),
                prepared.train,
                prepared.selection.take(torch.arange(32).numpy()),
                data.spec,
                plan,
                Path(folder),
                Silent(),
            )
        )
    step = seconds / trained.steps
    batches = refit_batches(prepared.train, 256, 0)
    found = []
    for sparsity in (0.54, 0.83, 0.9375, 0.97, 0.99):
        pruned, mask = copy.deepcopy(model), magnitude(model, sparsity)
        seconds, _ = taken(lambda pruned=pruned, mask=mask: refit(pruned, mask, batches, Silent()))
        found.append(
            {"sparsity": sparsity, "seconds": round(seconds, 2), "steps": round(seconds / step, 1)}
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dense", required=True, help="a model fine-tuned on CoLA")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    matrices = []
    for width, out in SHAPES:
        for density in DENSITIES:
            matrices.append(solvers(width, out, density))
            print(json.dumps(matrices[-1]), flush=True)
    document = {
        "command": "python benchmarks/refitting.py --dense FOLDER",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
        "matrices": matrices,
        "refits": in_steps(asked.dense),
    }
    write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
