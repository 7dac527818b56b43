"""Encoders pruned without any training: what is kept of GLUE tasks.

    RPMASK_GLUE_DIR=FOLDER python benchmarks/untrained.py --model ENCODER    # benchmarks/untrained.json

For each task, a dense model is trained once by `rpmask finetune --dense`. Then `rpmask run --one-shot
--epochs 0` prunes it with each seed, which chooses the calibration rows and the draws. What has been run is
found in --store and not run again; each cell is written when it is done, and the same command continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
from pathlib import Path
from typing import Any

from verbs import answer

import rpmask
from rpmask.files import write_whole
from rpmask.steps.frame import address

DENSE = {  # how the dense model of a task is trained
    "cola": ("--epochs", "6"),
    "sst2": ("--epochs", "3", "--train-rows", "8000"),
    "mrpc": ("--epochs", "4"),
}
RATE = ("--learning-rate", "1e-4")
SPARSITIES = (0.9375, 0.97, 0.99)
PRUNED = ("--one-shot", "--epochs", "0", "--threads", "1")
SEEDS = (0, 1, 2)


def cell(task: str, sparsity: float, seed: int, model: str, store: Path) -> dict[str, Any]:
    """One run, and what is kept of it."""
    rows = DENSE[task][2:]
    command = ["rpmask", "run", "--task", task, "--model", model, *rows, *PRUNED]
    found = answer([*command, "--sparsity", f"{sparsity:g}", "--seed", str(seed)], store)
    level = found["levels"][-1]
    last = level["finetune"]
    dense, dev, chance = (last[key][last["primary"]] for key in ("dense", "dev", "majority"))
    taken = level["generations"][-1]["sample"]["candidates"][level["select"]["winner"]]
    return {
        "task": task,
        "sparsity": sparsity,
        "seed": seed,
        "metric": last["primary"],
        "dense": round(dense, 4),
        "majority": round(chance, 4),
        "dev": round(dev, 4),
        "kept": round((dev - chance) / (dense - chance), 4),
        "agreement": round(last["agreement"], 4),
        "agreement_majority": round(last["agreement_majority"], 4),
        "taken": {
            name: taken[name] for name in ("importance", "allocation", "temperature", "control")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("untrained-store"))
    parser.add_argument("--tasks", nargs="+", choices=DENSE, default=list(DENSE))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--sparsities", nargs="+", type=float, default=list(SPARSITIES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    asked.store.mkdir(parents=True, exist_ok=True)
    os.environ["RPMASK_GLUE_DIR"] = str(Path(os.environ["RPMASK_GLUE_DIR"]).resolve())
    for task in asked.tasks:
        source = ["--task", task, "--model", str(asked.model.resolve()), "--threads", "1"]
        dense = ["rpmask", "finetune", "--dense", *source, *DENSE[task], *RATE]
        model = address(answer(dense, asked.store)["model"])
        for sparsity, seed in itertools.product(asked.sparsities, asked.seeds):
            cells = json.loads(asked.out.read_text())["cells"] if asked.out.exists() else []
            place = (task, sparsity, seed)
            if place in [(one["task"], one["sparsity"], one["seed"]) for one in cells]:
                continue
            found = cell(*place, model, asked.store)
            print(found, flush=True)
            document = {
                "command": "RPMASK_GLUE_DIR=FOLDER python benchmarks/untrained.py --model ENCODER",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
                "versions": {"rpmask": rpmask.__version__},
                "cells": [*cells, found],
            }
            write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
