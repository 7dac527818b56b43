"""What a second worker saves, and what Ray costs: the same race on one pool, engine after engine.

    python benchmarks/engines.py            # adds a turn to benchmarks/engines.json

A turn runs `rpmask screen` on a pool of eight candidates of the demo with one local worker and with two,
and on a pool of twenty-two, which takes about a minute, with two local workers and with two of Ray, one after
the other, as the commands a user types: their wall time has the start of processes, of Ray and of MLflow in
it. Every other turn goes the other way round. One worker has both cores' threads, as is the default; once
more with one thread, while another race keeps the other core busy as a second worker would, it is what the
cost model of scaling.py is fitted to. Those that train the same pool with one thread must find the same rungs
to the last bit.
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
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rpmask.files import write_whole

POOLS = {8: 0.5, 22: 1.2}  # candidates, and the budget of their race
ENGINES = {
    "local-1": (8, ["--workers", "1"]),
    "local-1-thread": (8, ["--workers", "1", "--threads", "1"]),
    "local-2": (8, ["--workers", "2"]),
    "local-2-of-22": (22, ["--workers", "2"]),
    "ray-2-of-22": (22, ["--workers", "2", "--engine", "ray"]),
}
STARTING = 10.0  # seconds until the other race trains
ACCOMPANIED = "local-1-thread"
SAME = (("local-1-thread", "local-2"), ("local-2-of-22", "ray-2-of-22"))
PLAIN = ("--race-refit", "0", "--race-labels")
LONG = ("--force", "--budget", "9", *PLAIN)  # a race that lasts longer than the one it accompanies


@contextmanager
def at_work(arguments: list[str], folder: Path, wanted: bool) -> Iterator[None]:
    """Run a command meanwhile, if it is wanted, and stop it."""
    if not wanted:
        yield
        return
    command = [sys.executable, "-m", "rpmask", *arguments]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    time.sleep(STARTING)
    try:
        yield
        assert process.poll() is None, "the other race ended first"
    finally:
        process.kill()
        process.wait()


def rpmask(arguments: list[str], folder: Path) -> tuple[dict[str, Any], float]:
    """What a command prints, and its wall time."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rpmask", *arguments, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout), seconds


def turn(order: list[str]) -> dict[str, Any]:
    """One race by each engine, on a pool of a folder of its own."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pools = {k: rpmask(["sample", "--k", str(k)], folder)[0]["run_id"] for k in POOLS}
        beside = folder / "beside"
        beside.mkdir()
        other = rpmask(["sample", "--k", "22"], beside)[0]["run_id"]
        for engine in order:
            k, options = ENGINES[engine]
            what = ["--from", pools[k], "--force", "--budget", str(POOLS[k]), *PLAIN]
            with at_work(
                ["screen", "--from", other, *LONG, *options], beside, engine == ACCOMPANIED
            ):
                result, wall = rpmask(["screen", *what, *options], folder)
            found[engine] = {
                "wall_seconds": wall,
                "race_seconds": result["seconds"]["race"],
                "training_steps": result["steps_spent"],
                "rungs": legs_of(result["candidates"]),
                "candidates": result["candidates"],
            }
            print(f"{engine}: {wall:.1f} s", flush=True)
    if any(found[one]["candidates"] != found[other]["candidates"] for one, other in SAME):
        raise SystemExit("The engines found different rungs.")
    for measured in found.values():
        del measured["candidates"]
    return found


def legs_of(candidates: list[dict[str, Any]]) -> list[list[int]]:
    """Of every rung its step, and how many candidates were trained to it."""
    counts = Counter(rung["step"] for candidate in candidates for rung in candidate["rungs"])
    return [[step, counts[step]] for step in sorted(counts)]


def ratios(turns: list[dict[str, Any]], one: str, other: str) -> dict[str, Any]:
    """How the wall times of two engines compare, turn by turn."""
    each = [t[one]["wall_seconds"] / t[other]["wall_seconds"] for t in turns]
    return {"each": each, "median": statistics.median(each)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    before = json.loads(asked.out.read_text())["turns"] if asked.out.exists() else []
    order = list(ENGINES) if len(before) % 2 == 0 else list(reversed(ENGINES))
    turns = [*before, turn(order)]
    report = {
        "command": "python benchmarks/engines.py",
        "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
        "versions": {name: version(name) for name in ("torch", "transformers", "mlflow", "ray")},
        "pools": [{"task": "demo", "k": k, "seed": 0, "budget": b} for k, b in POOLS.items()],
        "two_workers_over_one": ratios(turns, "local-2", "local-1"),
        "ray_over_local": ratios(turns, "ray-2-of-22", "local-2-of-22"),
        "turns": turns,
    }
    write_whole(asked.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps({name: report[name] for name in ("two_workers_over_one", "ray_over_local")}))


if __name__ == "__main__":
    main()
