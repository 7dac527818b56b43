"""What tracking costs: its share of a screening's time, and how soon a leaderboard answers.

    OMP_NUM_THREADS=1 python benchmarks/tracking.py        # writes benchmarks/tracking.json

`screening`: the demo's race of eight candidates on one thread, as `rpmask screen` races it and at the third
of its length that `rpmask run --task demo` takes, against SQLite and against an `mlflow server` with SQLite
behind it and artifacts through it. What tracking costs does not grow with a race. Every call of ours
that reaches MLflow is timed from outside, drawing and uploading charts included; a call within a call
counts once. The stores are made before the clock starts.

`report`: `rpmask report` as a process of its own over 64 finished roads: seconds until the
table is printed and until the page is logged, and the same again when nothing is new.
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
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from manyroads import fill_folder  # noqa: E402 - tests/ is not on the path of a script
from servers import mlflow_server  # noqa: E402

from rpmask.files import write_whole  # noqa: E402
from rpmask.steps.context import Context  # noqa: E402
from rpmask.steps.defaults import TASK_DEFAULTS  # noqa: E402
from rpmask.steps.requests import SampleRequest, ScreenRequest  # noqa: E402
from rpmask.steps.sample import sample  # noqa: E402
from rpmask.steps.screen import screen  # noqa: E402
from rpmask.tracking.artifacts import ArtifactStore  # noqa: E402
from rpmask.tracking.runs import StepRun  # noqa: E402
from rpmask.tracking.tracker import Tracker  # noqa: E402

DEMO = TASK_DEFAULTS["demo"]
RACES = {
    "as screen races": ScreenRequest(threads=1, refit=0, distilled=False),
    "as run races the demo": ScreenRequest(
        budget=DEMO.budget, examples=DEMO.examples, threads=1, refit=0, distilled=False
    ),
}


class Stopwatch:
    """Seconds spent inside the methods it was put around."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def around(self, owner: type, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return inner(*arguments, **named)
            self._inside, began = True, time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                self._inside = False
                spent = self.seconds.get(name, 0.0) + time.perf_counter() - began
                self.seconds[name] = spent

        setattr(owner, name, timed)


def watch() -> Stopwatch:
    """Put a stopwatch around everything that reaches MLflow."""
    watched = Stopwatch()
    for owner in (Tracker, StepRun, ArtifactStore):
        for name, member in list(vars(owner).items()):
            if callable(member) and not name.startswith("__"):
                watched.around(owner, name)
    return watched


def screening(store: str, folder: Path, turns: int, watched: Stopwatch) -> dict[str, Any]:
    """The share of tracking in screenings of one pool, short and long."""
    context = Context(tracking_uri=store, folder=folder / ".rpmask", force=True)
    pool = sample(SampleRequest(k=8), context)["run_id"]
    return {name: _share(request, context, pool, turns, watched) for name, request in RACES.items()}


def _share(
    request: ScreenRequest, context: Context, pool: str, turns: int, watched: Stopwatch
) -> dict[str, Any]:
    """The median of a few turns, and where its seconds went."""
    shares, seconds, spent = [], [], []
    for _ in range(turns):
        watched.seconds.clear()
        began = time.perf_counter()
        screen(request, context, pool)
        seconds.append(time.perf_counter() - began)
        spent.append(dict(watched.seconds))
        shares.append(sum(watched.seconds.values()) / seconds[-1])
        print(f"{context.tracking_uri}: {shares[-1]:.2%} of {seconds[-1]:.1f} s", file=sys.stderr)
    middle = sorted(range(turns), key=lambda i: shares[i])[turns // 2]
    return {
        "share": statistics.median(shares),
        "seconds": seconds,
        "tracking_seconds": [sum(each.values()) for each in spent],
        "by_call": {name: round(value, 4) for name, value in sorted(spent[middle].items())},
    }


def report(folder: Path, turns: int) -> dict[str, Any]:
    """Seconds until the first line and until the end, of a fresh report and of a repeated one."""
    roads = fill_folder(folder)
    found: dict[str, Any] = {"roads": roads}
    for name, options in (
        ("page drawn", ["--force"]),
        ("page there", []),
        ("--no-log", ["--no-log"]),
    ):
        times = [_answer(folder, options) for _ in range(turns)]
        found[name] = {
            "answer": statistics.median(first for first, _ in times),
            "whole": statistics.median(whole for _, whole in times),
        }
        print(f"report, {name}: {found[name]}", file=sys.stderr)
    return found


def _answer(folder: Path, options: list[str]) -> tuple[float, float]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "rpmask",
            "report",
            "--tracking-uri",
            "sqlite:///mlflow.db",
            *options,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert b"leaderboard" in process.stdout.readline()
    first = time.perf_counter() - began
    process.stdout.read()
    assert process.wait() == 0
    return first, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    watched = watch()
    shares = {}
    for name in ("sqlite", "server"):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            database = f"sqlite:///{folder}/mlflow.db"
            proxied = ["--artifacts-destination", str(folder / "artifacts")]
            reached = (
                nullcontext(database)
                if name == "sqlite"
                else mlflow_server(folder, database, *proxied)
            )
            os.chdir(folder)
            with reached as store:
                shares[name] = screening(store, folder, asked.turns, watched)
            os.chdir(HERE)
    with tempfile.TemporaryDirectory() as scratch:
        board = report(Path(scratch), asked.turns)
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/tracking.py --turns {asked.turns}",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "versions": {name: version(name) for name in ("mlflow", "torch", "matplotlib")},
        "screening": shares,
        "report": board,
    }
    write_whole(asked.out, (json.dumps(result, indent=1) + "\n").encode())
    summary = {
        f"{store}, {name}": round(found["share"], 4)
        for store, races in shares.items()
        for name, found in races.items()
    }
    print(json.dumps({"share": summary, "report": board["page drawn"]}))


if __name__ == "__main__":
    main()
