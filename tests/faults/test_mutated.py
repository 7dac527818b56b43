"""Thousands of damaged files per reader: each is refused with a clear error, or read."""

from __future__ import annotations

import json
import random
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from faults.conftest import Walked
from faults.forms import short_or_long
from faults.mutations import mutated

from rpmask.errors import RpmaskError
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.losses import read_losses
from rpmask.records import DataChoice, Pool, ScreenReport, Selection
from rpmask.results import FinetuneResult
from rpmask.tasks.own_files import read_own
from rpmask.tracking.artifacts import read_record

FILES = short_or_long(100, 20_000)
PATIENCE = 10  # seconds for one file that takes a millisecond when whole
MOST_MEMORY = 1 << 30  # more than before the first damaged file

ROWS = pd.DataFrame(
    {
        "text": [
            "the chef stirred the soup",
            'a "quoted" word, a comma',
            "ünïcödé \U0001f389",
            "x",
        ],
        "label": ["yes", "no", "yes", "no"],
    }
)


def _own(path: Path) -> Any:
    return read_own("own", DataChoice(train=str(path), dev=str(path)))


def _record(kind: Any) -> Callable[[Path], Any]:
    return lambda path: read_record(path, path.name, "", kind)


@dataclass(frozen=True)
class Reader:
    """What reads a kind of file, and a whole file of that kind."""

    name: str
    read: Callable[[Path], Any]
    whole: Callable[[Walked, Path], bytes]


def _artifact(step: str, name: str) -> Callable[[Walked, Path], bytes]:
    def content(walked: Walked, _: Path) -> bytes:
        run = walked.answer["levels"][0][step]["run_id"]
        (found,) = walked.folder.glob(f"mlruns/*/{run}/artifacts/{name}")
        # The reader below is told of no run; with its own the content would be another's.
        return json.dumps({**json.loads(found.read_bytes()), "run_id": ""}, indent=1).encode()

    return content


def _written(write: Callable[[Path], Any]) -> Callable[[Walked, Path], bytes]:
    def content(_: Walked, path: Path) -> bytes:
        write(path)
        return path.read_bytes()

    return content


READERS = [
    Reader("pool.json", _record(Pool), _artifact("sample", "pool.json")),
    Reader("screen.json", _record(ScreenReport), _artifact("screen", "screen.json")),
    Reader("selection.json", _record(Selection), _artifact("select", "selection.json")),
    Reader("finetune.json", _record(FinetuneResult), _artifact("finetune", "finetune.json")),
    Reader(
        "losses.safetensors",
        read_losses,
        _written(
            lambda path: safetensors.numpy.save_file(
                {"candidate-0": np.arange(30.0), "candidate-1": np.arange(30.0)}, path
            )
        ),
    ),
    Reader(
        "fisher.safetensors",
        Statistics.load,
        _written(Statistics.of("fisher", {"a.weight": torch.ones(4, 6)}).save),
    ),
    Reader("rows.csv", _own, _written(lambda path: ROWS.to_csv(path, index=False))),
    Reader("rows.tsv", _own, _written(lambda path: ROWS.to_csv(path, index=False, sep="\t"))),
    Reader("rows.json", _own, _written(lambda path: ROWS.to_json(path, orient="records"))),
    Reader(
        "rows.jsonl",
        _own,
        _written(lambda path: ROWS.to_json(path, orient="records", lines=True)),
    ),
    Reader("rows.parquet", _own, _written(lambda path: ROWS.to_parquet(path))),
]


@pytest.fixture
def _limits() -> Iterator[None]:
    """A file that hangs its reader ends it; one that asks for too much memory gets a MemoryError."""

    def hung(*_: Any) -> None:
        raise AssertionError("the reader hangs")

    before = signal.signal(signal.SIGALRM, hung)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_refused_or_read(
    reader: Reader, undisturbed: Walked, tmp_path: Path, tried: Callable[[int], None]
) -> None:
    tried(FILES)
    path = tmp_path / reader.name
    content = reader.whole(undisturbed, path)
    path.write_bytes(content)
    reader.read(path)
    chance, refused = random.Random(0), 0
    for _ in range(FILES):
        path.unlink()  # some file systems wait for the disk when a file is overwritten
        path.write_bytes(mutated(content, chance))
        signal.alarm(PATIENCE)
        try:
            reader.read(path)
        except RpmaskError:
            refused += 1
        signal.alarm(0)
    assert refused > FILES // 10
