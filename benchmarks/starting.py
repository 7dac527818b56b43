"""What does a newcomer wait for: `rpmask --help`, and `rpmask sample --k 8` in an empty folder?

    python benchmarks/starting.py

The first sample makes the database; those after it, each of another seed, find it. Where the time goes
is what Python reports of its imports in one more run (`-X importtime`), by package; the rest is the work.
Writes benchmarks/starting.json.
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
from pathlib import Path
from typing import Any

import rpmask
from rpmask.files import write_whole

REPEATS = 5


def timed(arguments: list[str], folder: str, *flags: str) -> tuple[float, str]:
    """The seconds of one command in a process of its own, and what it said on stderr."""
    command = [sys.executable, *flags, "-m", "rpmask", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - begun, done.stderr


def imports(log: str) -> dict[str, float]:
    """Seconds of the imports by package, those over a tenth of a second, and all of them."""
    spent: Counter[str] = Counter()
    for line in log.splitlines():
        if not line.startswith("import time:") or "self [us]" in line:
            continue
        own, _, name = line.removeprefix("import time:").split("|")
        spent[name.strip().partition(".")[0]] += int(own)
    named = {name: round(us / 1e6, 2) for name, us in spent.most_common() if us > 100_000}
    return {"all": round(sum(spent.values()) / 1e6, 2), **named}


def measure(repeats: int) -> dict[str, Any]:
    """Every figure, in a folder that was empty."""
    with tempfile.TemporaryDirectory() as folder:
        helps = [timed(["--help"], folder)[0] for _ in range(repeats)]
        first, _ = timed(["sample", "--k", "8"], folder)
        later = [
            timed(["sample", "--k", "8", "--seed", str(seed)], folder)[0]
            for seed in range(1, repeats + 1)
        ]
        _, log = timed(["sample", "--k", "8", "--seed", "99"], folder, "-X", "importtime")
    return {
        "help_s": {"median": round(statistics.median(helps), 3), "max": round(max(helps), 3)},
        "first_sample_s": round(first, 1),
        "later_sample_s": {
            "median": round(statistics.median(later), 1),
            "all": [round(seconds, 1) for seconds in later],
        },
        "imports_of_a_later_sample_s": imports(log),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    document = {
        "command": "python benchmarks/starting.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {"rpmask": rpmask.__version__},
        **measure(arguments.repeats),
    }
    write_whole(arguments.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
