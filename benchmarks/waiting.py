"""How long should OpenMP's threads spin while they wait for each other: alone, and beside a busy process?

    python benchmarks/waiting.py

The same short training of the demo as a command on two threads, by turns as rpmask sets it, which is
GOMP_SPINCOUNT=1000, and with libgomp's own 300,000; then the same beside one process that keeps a core busy.
Seconds are those that the command counts. Writes benchmarks/waiting.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import rpmask
from rpmask.files import write_whole

OURS, THEIRS = "1000", "300000"
PLACES = ("alone", "beside a busy process")
ROUNDS = 3
PATIENCE = 120  # seconds after which a command counts as having taken that long
COMMAND = (
    *("-m", "rpmask", "finetune", "--dense", "--task", "demo", "--model", "demo"),
    *("--epochs", "1", "--threads", "2", "--force", "--json"),
)


def trained(folder: str, spins: str) -> float:
    """The seconds of one training."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    }
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND],
            cwd=folder,
            env={**environment, "GOMP_SPINCOUNT": spins},
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return float(PATIENCE)
    return float(json.loads(done.stdout)["seconds"]["total"])


@contextmanager
def neighbour(there: bool) -> Iterator[None]:
    """A process that keeps a core busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if there else None
    try:
        yield
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()


def measure(rounds: int) -> dict[str, Any]:
    """Seconds by turns, alone and beside a neighbour."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        trained(folder, OURS)  # makes the database
        for name in PLACES:
            seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
            with neighbour(name != PLACES[0]):
                for _ in range(rounds):
                    for spins, known in seconds.items():
                        known.append(round(trained(folder, spins), 2))
                        print(name, spins, known[-1], flush=True)
            medians = [statistics.median(seconds[spins]) for spins in (OURS, THEIRS)]
            found[name] = {
                "ours": seconds[OURS],
                "default": seconds[THEIRS],
                "medians": medians,
                "default_to_ours": round(medians[1] / medians[0], 2),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    document = {
        "command": "python benchmarks/waiting.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
        "patience": PATIENCE,
        **measure(arguments.rounds),
    }
    write_whole(arguments.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps({name: document[name]["default_to_ours"] for name in PLACES}))


if __name__ == "__main__":
    main()
