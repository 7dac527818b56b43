"""A decoder pruned without training: rpmask beside Wanda and SparseGPT.

    python benchmarks/decoders.py --model FOLDER --data-dir wikitext-2    # writes benchmarks/decoders.json

FOLDER is SmolLM2-135M in fp32; the other folder holds train.txt and dev.txt of WikiText-2. All three methods
(`rivals.py` has two) get the same 16 calibration blocks of 512 tokens of a seed. rpmask's part is what
`rpmask run --one-shot --epochs 0` does for one candidate: calibrate, draw the mask without noise, refit;
"tightened" is what `--levels` below the sparsity does. The perplexity is that of evenly spaced dev blocks;
seconds are the processor's, on one thread, for the last seed. Each cell is written when it is done, and the
same command continues.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rivals import prune, sparsegpt, wanda
from scipy import stats
from torch import nn

import rpmask
from rpmask.files import write_whole
from rpmask.heads.splits import Split
from rpmask.masks.granularity import at_sparsity
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.allocation import parse_allocation
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.tightening import RefitCut
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.inputs import load_data, prepare
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import calibration_rows
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches

SETTINGS = ("0.5", "0.6", "0.7", "2:4")
METHODS = ("wanda", "sparsegpt", "rpmask", "tightened")
LEVELS = {"0.5": 0.25, "0.6": 0.4, "0.7": 0.5, "2:4": 0.25}  # where tightening begins
OURS = ("rpmask", "tightened")
LENGTH = 512
CALIBRATION = 16
DEV = 8
IMPORTANCE = "wanda"


def ours(
    model: nn.Module, setting: str, data: Split, spec: TaskSpec, seed: int, level: float | None
) -> None:
    """Calibrate, draw and refit, as the command does; from a level below the sparsity, tighten as well."""
    tensors = find_prunable(model)
    names = [tensor.name for tensor in tensors]
    found = calibrate(model, data, spec, names, [IMPORTANCE], seed=seed, observer=Silent())
    source, groups = TensorWeights(model), ":" in setting
    target = 0.5 if groups else float(setting)
    granularity = at_sparsity(setting, level or target) if groups else "weight"
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=seed,
        sparsity=level or target,
        temperature=0.0,
        importance=IMPORTANCE,
        importance_digest=found[IMPORTANCE].digest,
        allocation=0.0 if groups else parse_allocation("row"),
        granularity=granularity,
    )
    mask = draw_mask(recipe, source, tensors, statistics=found)
    cut = RefitCut(mask, target, seed, granularity) if level else None
    refit(model, mask, refit_batches(data, len(data), seed), Silent(), cut)


def theirs(method: str, model: nn.Module, setting: str, data: Split) -> None:
    """Prune by one of the other methods."""
    tokens = data.batch(np.arange(len(data)))["input_ids"]
    groups = ":" in setting
    sparsity = 0.5 if groups else float(setting)
    rival = {"wanda": wanda, "sparsegpt": sparsegpt}[method]
    prune(
        model,
        tokens,
        lambda weight, sums: rival(weight, sums, sparsity, groups),
        products=method == "sparsegpt",
    )


def losses(model: nn.Module, dev: Split, spec: TaskSpec) -> list[float]:
    """The mean loss of every dev block."""
    return [round(float(loss), 5) for loss in evaluate(model, dev, spec).losses]


def summary(dense: list[float], cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Perplexities by setting, and rpmask's beside each other method's over the same blocks and seeds."""
    found = []
    for setting in SETTINGS:
        by = {
            method: {cell["seed"]: cell for cell in cells if key(cell)[:2] == (setting, method)}
            for method in METHODS
        }
        row: dict[str, Any] = {"setting": setting, "dense": round(perplexity(dense), 2)}
        for method, known in by.items():
            if known:
                values = [perplexity(cell["losses"]) for cell in known.values()]
                row[method] = {
                    "perplexity": [round(value, 2) for value in values],
                    "seconds": known[max(known)]["seconds"],
                }
        for rival in METHODS[:2]:
            for method in OURS:
                shared = sorted(by[method].keys() & by[rival].keys())
                if shared:
                    apart = np.array(
                        [
                            np.subtract(by[method][seed]["losses"], by[rival][seed]["losses"])
                            for seed in shared
                        ]
                    )
                    row[f"{method} beside {rival}"] = ratio(apart)
        found.append(row)
    return found


def ratio(apart: np.ndarray) -> dict[str, Any]:
    """The ratio of two perplexities, from differences of losses, (seeds, blocks), with its 95 % interval.

    The interval is over blocks, for the mean of these seeds. `seeds` are the ratios of each seed.
    """
    blocks = apart.mean(0)
    half = stats.t.ppf(0.975, len(blocks) - 1) * blocks.std(ddof=1) / math.sqrt(len(blocks))
    low, high = (round(math.exp(blocks.mean() + side * half), 4) for side in (-1, 1))
    return {
        "ratio": round(math.exp(blocks.mean()), 4),
        "interval": [low, high],
        "seeds": [round(math.exp(mean), 4) for mean in apart.mean(1)],
    }


def perplexity(values: list[float]) -> float:
    return math.exp(float(np.mean(values)))


def key(cell: dict[str, Any]) -> tuple[str, str, int]:
    return cell["setting"], cell["method"], cell["seed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    choice = DataChoice(data_dir=str(asked.data_dir), max_length=LENGTH)
    data = load_data("wikitext2", choice)
    spec, prepared = data.spec, prepare(data, choice, asked.model)
    whole = prepared.dev()["dev"]
    dev = whole.take(np.linspace(0, len(whole) - 1, DEV).astype(int))
    model = load_classifier(asked.model, spec)
    known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    dense = known.get("dense") or losses(model, dev, spec)
    cells = known.get("cells", [])
    wanted = itertools.product(asked.seeds, asked.settings, asked.methods)
    for seed, setting, method in wanted:
        if (setting, method, seed) in map(key, cells):
            continue
        rows = calibration_rows(len(prepared.train), CALIBRATION, seed)
        blocks, pruned = prepared.train.take(rows), copy.deepcopy(model)
        started = time.process_time()
        if method in OURS:
            level = LEVELS[setting] if method == "tightened" else None
            ours(pruned, setting, blocks, spec, seed, level)
        else:
            theirs(method, pruned, setting, blocks)
        seconds = round(time.process_time() - started, 1)
        cell = {"setting": setting, "method": method, "seed": seed, "seconds": seconds}
        cells.append({**cell, "losses": losses(pruned, dev, spec)})
        print(json.dumps(cell), perplexity(cells[-1]["losses"]), flush=True)
        document = {
            "command": "python benchmarks/decoders.py --model FOLDER --data-dir wikitext-2",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
            "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
            "calibration": {"blocks": CALIBRATION, "tokens": LENGTH},
            "dev": {"blocks": DEV, "tokens": LENGTH},
            "summary": summary(dense, cells),
            "dense": dense,
            "cells": cells,
        }
        write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(summary(dense, cells), indent=1))


if __name__ == "__main__":
    main()
