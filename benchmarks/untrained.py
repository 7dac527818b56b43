"""Encoders pruned without any training: what is kept of three GLUE tasks.

    RPMASK_GLUE_DIR=FOLDER python benchmarks/untrained.py --model ENCODER    # benchmarks/untrained.json

For each task, a dense model is trained once by `rpmask finetune --dense`. Then `rpmask run --epochs 0` prunes
it with each seed, which chooses the calibration rows and the draws: in one shot ("one shot"), and with the
last refit cutting further from a lower level ("tightened"). What has been run is found in --store and not
run again; each cell is written when it is done, and the same command continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rpmask
from rpmask.files import write_whole
from rpmask.steps.frame import address

DENSE = {  # how the dense model of a task is trained
    "cola": ("--epochs", "6"),
    "sst2": ("--epochs", "3", "--train-rows", "8000"),
    "mrpc": ("--epochs", "4"),
}
RATE = ("--learning-rate", "1e-4")
LEVELS = {0.9375: "0.83", 0.97: "0.9", 0.99: "0.97"}  # where tightening begins
WAYS = ("one shot", "tightened")
SEEDS = (0, 1, 2)


def answer(command: list[str], store: Path) -> dict[str, Any]:
    """What an rpmask command says with --json, run in the store's folder."""
    print(shlex.join(command), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", *command, "--threads", "1", "--json"],
        cwd=store,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def options(way: str, sparsity: float) -> tuple[str, ...]:
    """What tells a way's command from others."""
    first = ("--one-shot",) if way == "one shot" else ("--levels", LEVELS[sparsity])
    return (*first, "--epochs", "0", "--sparsity", f"{sparsity:g}")


def cell(
    task: str, way: str, sparsity: float, seed: int, model: str, store: Path
) -> dict[str, Any]:
    """One run, and what is kept of it."""
    rows = DENSE[task][2:]
    command = ["rpmask", "run", "--task", task, "--model", model, *rows, *options(way, sparsity)]
    found = answer([*command, "--seed", str(seed)], store)
    level = found["levels"][-1]
    last = level["finetune"]
    dense, dev, chance = (last[key][last["primary"]] for key in ("dense", "dev", "majority"))
    taken = level["generations"][-1]["sample"]["candidates"][level["select"]["winner"]]
    return {
        "task": task,
        "way": way,
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


def means(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is kept of each task, by way and sparsity, as the mean of its seeds."""
    found = []
    for task, way, sparsity in itertools.product(DENSE, WAYS, LEVELS):
        wanted = (task, way, sparsity)
        here = [one for one in cells if (one["task"], one["way"], one["sparsity"]) == wanted]
        if here:
            kept, agreed = (
                round(float(np.mean([one[k] for one in here])), 4) for k in ("kept", "agreement")
            )
            place = {"task": task, "way": way, "sparsity": sparsity, "seeds": len(here)}
            found.append({**place, "kept": kept, "agreement": agreed})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("untrained-store"))
    parser.add_argument("--tasks", nargs="+", choices=DENSE, default=list(DENSE))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--sparsities", nargs="+", type=float, choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    asked.store.mkdir(parents=True, exist_ok=True)
    os.environ["RPMASK_GLUE_DIR"] = str(Path(os.environ["RPMASK_GLUE_DIR"]).resolve())
    for task in asked.tasks:
        dense = ["rpmask", "finetune", "--dense", "--task", task, *DENSE[task], *RATE]
        source = ["--model", str(asked.model.resolve())]
        model = address(answer([*dense, *source], asked.store)["model"])
        for sparsity, seed, way in itertools.product(asked.sparsities, asked.seeds, asked.ways):
            cells = json.loads(asked.out.read_text())["cells"] if asked.out.exists() else []
            place = (task, way, sparsity, seed)
            if any(
                (one["task"], one["way"], one["sparsity"], one["seed"]) == place for one in cells
            ):
                continue
            found = cell(*place, model, asked.store)
            print(found, flush=True)
            document = {
                "command": "RPMASK_GLUE_DIR=FOLDER python benchmarks/untrained.py --model ENCODER",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
                "versions": {"rpmask": rpmask.__version__},
                "means": means([*cells, found]),
                "cells": [*cells, found],
            }
            write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
