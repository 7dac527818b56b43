"""Pools of eight masks of a decoder: is the selected one as good as the best centre, and what do draws add?

    python benchmarks/decoder_pools.py --model FOLDER --data-dir wikitext-2 --store EMPTY

writes benchmarks/decoder_pools.json. FOLDER is SmolLM2-135M in fp32, of which every third block is pruned, so
that a pool takes a third of the time. `rpmask sample` draws each pool, with its own seed: the control, the
masks without noise of two importances with two ways of sharing (the centres), and three random draws. Every
candidate is refitted, and its distance from the dense model on selection blocks measured, as `rpmask screen
--budget 0` does. The nearest one is selected. Dev, which decides nothing, tells the perplexity of each
candidate. Each pool is written when it is done, and the same command continues.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rpmask
from rpmask.cli.tracking import Tracking
from rpmask.files import write_whole
from rpmask.heads.splits import Split
from rpmask.masks.mask import Mask
from rpmask.randomized_masks.allocation import NAMED
from rpmask.randomized_masks.race_score import Evaluator
from rpmask.records import Candidate, DataChoice, Pool
from rpmask.steps.inputs import load_data, prepare
from rpmask.steps.pool_artifacts import load_masks
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches

K = 8
SPARSITY = 0.6
LENGTH = 128
CALIBRATION = 16  # blocks, of the importances and of the refit
HELD_OUT = 16  # selection blocks
DEV = 16
Losses = Callable[[Any], np.ndarray]
IMPORTANCES, SHARES = ("wanda", "sparsegpt"), ("row", "owl")
EVERY = 3  # blocks
NEAREST = "nearest centre"  # to the dense model: what would be selected without draws


def drawn(asked: argparse.Namespace, seed: int, blocks: int) -> tuple[Pool, tuple[Mask, ...]]:
    """The candidates of a pool of `rpmask sample`, and their masks."""
    store = f"sqlite:///{asked.store.resolve()}/mlflow.db"
    found = rpmask.sample(
        task="wikitext2",
        model=asked.model,
        data_dir=str(asked.data_dir),
        max_length=LENGTH,
        importance=",".join(IMPORTANCES),
        allocation=",".join(SHARES),
        include=[f"layers.{block}.*" for block in range(0, blocks, EVERY)],
        calibration_rows=CALIBRATION,
        sparsity=SPARSITY,
        k=K,
        seed=seed,
        quiet=True,
        tracking_uri=store,
    )
    context = Tracking(tracking_uri=store, quiet=True).context()
    pool = found.record
    assert isinstance(pool, Pool)
    return pool, load_masks(pool, context)


def kind(candidate: Candidate) -> str:
    """What is named of a candidate: the control, a centre by its importance and share, or a draw."""
    if candidate.control:
        return "control"
    recipe = candidate.recipe
    if recipe.temperature:
        return "draw"
    share = next(name for name, value in NAMED.items() if value == recipe.allocation)
    return f"{recipe.importance} {share}"


def raced(
    model: Any, pool: Pool, masks: tuple[Mask, ...], train: Split, score: Evaluator, dev: Losses
) -> list[dict[str, Any]]:
    """Every candidate's distance on the selection blocks, and its losses on dev."""
    found = []
    for candidate, mask in zip(pool.candidates, masks, strict=True):
        pruned = copy.deepcopy(model)
        refit(pruned, mask, refit_batches(train, CALIBRATION, pool.seed), Silent())
        distances = score(pruned).distances
        assert distances is not None
        found.append(
            {
                "kind": kind(candidate),
                "distance": round(float(distances.mean()), 5),
                "dev": [round(float(loss), 4) for loss in dev(pruned)],
            }
        )
    return found


def summary(pools: list[dict[str, Any]]) -> dict[str, Any]:
    """The selected candidate's perplexity on dev beside each centre's, by pool, and what draws added.

    `clearly worse` are the pools in which the paired difference over dev blocks is more than two standard
    errors.
    """
    centres = sorted({one["kind"] for one in pools[0]["candidates"]} - {"control", "draw"})
    found: dict[str, dict[str, Any]] = {}
    for rival in (*centres, NEAREST):
        ratios, worse = [], 0
        for pool in pools:
            by_distance = sorted(pool["candidates"], key=lambda one: float(one["distance"]))
            allowed = centres if rival == NEAREST else [rival]
            other = next(one for one in by_distance if one["kind"] in allowed)
            apart = np.subtract(by_distance[0]["dev"], other["dev"])
            worse += bool(apart.mean() > 2 * apart.std(ddof=1) / math.sqrt(len(apart)) > 0)
            ratios.append(round(math.exp(apart.mean()), 6))
        found[rival] = {"ratios": ratios, "clearly worse": worse}
    return {
        "pools": len(pools),
        "selected": [min(p["candidates"], key=lambda one: one["distance"])["kind"] for p in pools],
        "selected beside": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    choice = DataChoice(data_dir=str(asked.data_dir), max_length=LENGTH)
    data = load_data("wikitext2", choice)
    prepared = prepare(data, choice, asked.model)
    model: Any = load_classifier(asked.model, data.spec).eval()
    parts = [(prepared.selection, HELD_OUT), (prepared.dev()["dev"], DEV)]
    held_out, dev = (
        part.take(np.linspace(0, len(part) - 1, size).astype(int)) for part, size in parts
    )
    score = Evaluator(data.spec, held_out, model)
    pools = json.loads(asked.out.read_text())["each"] if asked.out.exists() else []
    for seed in asked.seeds:
        if seed in [pool["seed"] for pool in pools]:
            continue
        started = time.process_time()
        pool, masks = drawn(asked, seed, model.config.num_hidden_layers)
        sampled = time.process_time() - started
        candidates = raced(
            *(model, pool, masks, prepared.train, score),
            lambda pruned: evaluate(pruned, dev, data.spec).losses,
        )
        seconds = time.process_time() - started
        pools.append(
            {
                "seed": seed,
                "sampling_seconds": round(sampled, 1),
                "seconds": round(seconds, 1),
                "candidates": candidates,
            }
        )
        write(asked.out, pools)
        print(json.dumps(summary(pools)), f"{seconds:.0f} s", flush=True)
    write(asked.out, pools)


def write(path: Path, pools: list[dict[str, Any]]) -> None:
    """The file, from the pools that were measured."""
    document = {
        "command": "python benchmarks/decoder_pools.py --model FOLDER --data-dir wikitext-2",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
        "sparsity": SPARSITY,
        "tokens": LENGTH,
        "blocks": {"calibration": CALIBRATION, "selection": HELD_OUT, "dev": DEV},
        "summary": summary(pools),
        "each": sorted(pools, key=lambda pool: int(pool["seed"])),
    }
    write_whole(path, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
