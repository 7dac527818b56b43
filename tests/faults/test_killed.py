"""SIGKILL at any event of the pipeline: the same command again ends like an undisturbed one.

A moment is a number of the road's own events (files written, statements executed, bars advanced),
so it is the same place on any machine; half of them lie a fraction of an event later, in the work
between two events.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from commands import NEW_STORE, what_matters
from faults.commanding import run
from faults.conftest import ROAD, Walked
from faults.forms import short_or_long
from faults.intact import check_same, check_whole
from folders import copied
from heads.tiny_decoder import write_decoder, write_texts

MOMENTS = short_or_long(8, 200)
KILLS_A_ROAD = 10  # about; a road that is killed for ever never ends


def test_the_same_command_again_finishes(
    fresh: Walked,
    undisturbed: Walked,
    tmp_path: Path,
    tried: Callable[[int], None],
) -> None:
    chance, killed, roads = random.Random(8), 0, 0
    while killed < MOMENTS:
        roads += 1
        folder = copied(fresh.folder, tmp_path / f"road-{roads}")
        ended = None
        while ended is None or ended.code == -9:
            if ended is not None:
                killed += 1
                tried(killed)
            ended = run(
                ROAD,
                folder,
                moment=chance.randint(1, 2 * undisturbed.events // KILLS_A_ROAD),
                fraction=chance.choice([0.0, chance.random()]),
            )
        assert what_matters(ended.answer) == what_matters(undisturbed.answer)
        check_whole(folder)
        check_same(folder, undisturbed.folder)


def test_a_decoder_that_is_pruned_without_training(tmp_path: Path) -> None:
    """Killed while it is calibrated, compared or refitted, it gets the same mask and the same weights."""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    model, texts = write_decoder(fresh / "llama"), write_texts(fresh)
    train, dev = (path.name for path in texts)
    road = [
        *("run", "-t", "story", "-m", model.name, "--kind", "language", "--train", train),
        *("--dev", dev, "--max-length", "16", "--threads", "1"),
        *("--levels", "0.3", "--sparsity", "0.6", "--epochs", "0"),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        shutil.copytree(fresh, folder)
    undisturbed = run(road, whole)
    assert undisturbed.events is not None
    for part in (3, 2):  # the second kill comes late in what the first has left
        assert run(road, killed, moment=undisturbed.events // part, fraction=0.5).code == -9
    ended = run(road, killed)
    assert what_matters(ended.answer) == what_matters(undisturbed.answer)
    check_whole(killed)
    check_same(killed, whole)
    weights = [
        sorted(
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in each.rglob("model.safetensors")
        )
        for each in (whole, killed)
    ]
    assert len(weights[0]) > 2  # of the source, the selection and the result
    assert weights[0] == weights[1]


def test_killed_while_the_database_is_made(fresh: Walked, tmp_path: Path) -> None:
    chance = random.Random(9)
    for _ in range(3):
        moment = chance.randint(1, fresh.events - 10)
        ended = run(NEW_STORE, tmp_path, moment=moment, migrations=True)
        assert ended.code == -9
    ended = run(NEW_STORE, tmp_path, migrations=True)
    assert ended.code == 2
    assert "There is no model" in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
