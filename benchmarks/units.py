"""Benchmarks of seeded units: each is written as soon as it is done, and the same command continues."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import rpmask
from rpmask.files import write_whole
from rpmask.steps.context import Context

Parts = dict[str, list[dict[str, Any]]]


def asked(script: str, purpose: str, parts: Iterable[str]) -> argparse.Namespace:
    """Where the figures go, and which parts are wanted."""
    parser = argparse.ArgumentParser(description=purpose.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(script).with_suffix(".json"))
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    return parser.parse_args()


def walk(
    out: Path,
    planned: Mapping[str, int],
    unit: Callable[[str, int], dict[str, Any]],
    summary: Callable[[Parts], dict[str, Any]],
) -> None:
    """Do what is not in the file yet: so many seeds of each part, on one thread."""
    torch.set_num_threads(1)
    out = out.resolve()
    parts: Parts = json.loads(out.read_text())["parts"] if out.exists() else {}
    for name, count in planned.items():
        done = {known["seed"] for known in parts.setdefault(name, [])}
        for seed in sorted(set(range(count)) - done):
            parts[name].append(unit(name, seed))
            document = {
                "command": f"python benchmarks/{out.stem}.py",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
                "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
                "summary": summary(parts),
                "parts": parts,
            }
            write_whole(out, (json.dumps(document, indent=1) + "\n").encode())
            print(name, json.dumps(parts[name][-1])[:200], flush=True)
    print(json.dumps(summary(parts)))


@contextmanager
def store() -> Iterator[Context]:
    """A store of its own, gone afterwards. Its artifacts belong beside it, so the steps run there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Context(tracking_uri=f"sqlite:///{folder}/mlflow.db")
        finally:
            os.chdir(here)
