"""How long short verbs of the demo take, as multiples of `python -c "import mlflow"`.

    python benchmarks/starting.py

Every verb keeps its runs in MLflow, so no verb can be quicker than that import. The commands take turns,
and each ratio is the median over the rounds. Times are CPU seconds, user and system: these commands wait
for little, so on an idle machine that is how long they take, and other programs hardly change it. `select`
and `report` compute again (`--force`), and every `sample` has a seed of its own, so nothing is reused.
Writes benchmarks/starting.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rpmask
from rpmask.files import write_whole

ROUNDS = 5
IMPORT = "import mlflow"
# What no verb that computes with a model can do without.
MODEL = "import mlflow, torch, transformers.models.bert.modeling_bert"
LIMITS = {"report": 3.0, "mask show": 3.0, "select": 3.0, "sample --k 8": 4.0}


def seconds(command: list[str], folder: str) -> float:
    """CPU seconds of one command in a process of its own."""
    begun = _spent()
    subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=True)
    return _spent() - begun


def _spent() -> float:
    """CPU seconds of all processes that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def prepare(folder: str) -> str:
    """Draw, race and train masks of the demo, so that every verb has something to read; the pool's run."""
    verbs = (["sample", "--k", "8"], ["screen"], ["select"], ["finetune", "--epochs", "1"])
    results = []
    for verb in verbs:
        command = [sys.executable, "-m", "rpmask", *verb, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout))
    return str(results[0]["run_id"])


def imports(folder: str, verb: list[str]) -> dict[str, float]:
    """Seconds that a verb spends importing each package, those over 0.05 s, slowed by the measurement."""
    command = [sys.executable, "-X", "importtime", "-m", "rpmask", *verb]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    spent: dict[str, int] = {}
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", done.stderr, re.M):
        spent[name] = spent.get(name, 0) + int(own)
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return {name: round(us / 1e6, 2) for name, us in ordered if us > 50_000}


def measure(rounds: int) -> dict[str, Any]:
    """Every figure, in a folder that was empty."""
    with tempfile.TemporaryDirectory() as folder:
        pool = prepare(folder)
        verbs = {
            "--help": ["--help"],
            "report": ["report", "--force"],
            "mask show": ["mask", "show", f"{pool}#3"],
            "select": ["select", "--force"],
            "sample --k 8": ["sample", "--k", "8"],
            "sample --k 8 --substeps 1": ["sample", "--k", "8", "--substeps", "1"],
        }
        times: dict[str, list[float]] = {IMPORT: [], MODEL: [], **{name: [] for name in verbs}}
        for seed in range(1, rounds + 1):
            for code in (IMPORT, MODEL):
                times[code].append(seconds(["-c", code], folder))
            for name, verb in verbs.items():
                own = ["--seed", str(seed)] if name.startswith("sample") else []
                times[name].append(seconds(["-m", "rpmask", *verb, *own], folder))
        spent = {name: imports(folder, verb) for name, verb in verbs.items() if name in LIMITS}
    return {
        "seconds": {
            name: {
                "median": round(statistics.median(found), 2),
                "all": [round(each, 2) for each in found],
            }
            for name, found in times.items()
        },
        "times_import_mlflow": {
            name: {"ratio": round(ratio(times[name], times[IMPORT]), 2), "limit": LIMITS.get(name)}
            for name in times
            if name != IMPORT
        },
        "import_seconds": spent,
    }


def ratio(found: list[float], reference: list[float]) -> float:
    """The median ratio of a round: both took turns, so the machine's load falls on both."""
    return statistics.median(one / other for one, other in zip(found, reference, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    libraries = ("mlflow", "torch", "transformers")
    document = {
        "command": "python benchmarks/starting.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),  # 0 on an idle machine
        "versions": {"rpmask": rpmask.__version__, **{name: version(name) for name in libraries}},
        **measure(arguments.rounds),
    }
    write_whole(arguments.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
