"""Every kind of artifact flipped, cut short, swapped with another run's, or newer: refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import what_matters
from faults.commanding import run
from faults.conftest import ROAD, Walked
from folders import copied

Damage = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True)
class Kind:
    """An artifact, the step that wrote it, and the command that reads it."""

    name: str
    step: str
    command: tuple[str, ...]  # given `--from` the step's run


KINDS = [
    Kind("pool.json", "sample", ("screen", "--threads", "1")),
    Kind("masks/candidate-01.safetensors", "sample", ("screen", "--threads", "1")),
    Kind("screen.json", "screen", ("select",)),
    Kind("losses.safetensors", "screen", ("select",)),
    Kind("selection.json", "select", ("finetune", "--threads", "1")),
    Kind("mask.safetensors", "select", ("finetune", "--threads", "1")),
    Kind("finetune.json", "finetune", ("sample", "-s", "0.95")),
    Kind("mask.safetensors", "finetune", ("sample", "-s", "0.95")),
    Kind("manifest.json", "sample", ("screen", "--threads", "1")),
]


def flipped(content: bytes, _: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def cut(content: bytes, _: bytes) -> bytes:
    return content[: len(content) // 2]


def swapped(_: bytes, other: bytes) -> bytes:
    return other


def newer(content: bytes, _: bytes) -> bytes:
    return content.replace(b'"schema_version": 1', b'"schema_version": 99')


@pytest.fixture(scope="module")
def road(undisturbed: Walked, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """The same road again, to be damaged; the undisturbed one stays as it is."""
    folder = copied(undisturbed.folder, tmp_path_factory.mktemp("damaged"))
    return Walked(folder, undisturbed.answer, undisturbed.events)


def found(road: Walked, level: int, kind: Kind) -> Path:
    run_id = road.answer["levels"][level][kind.step]["run_id"]
    (path,) = road.folder.glob(f"mlruns/*/{run_id}/artifacts/{kind.name}")
    return path


CASES = [
    pytest.param(kind, damage, id=f"{kind.step}-{Path(kind.name).name}-{damage.__name__}")
    for kind in KINDS
    for damage in (flipped, cut, swapped, newer)
    # The others' versions are in code, or they have none.
    if damage is not newer or (kind.name.endswith(".json") and kind.name != "manifest.json")
]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_a_damaged_artifact_is_refused_by_name(kind: Kind, damage: Damage, road: Walked) -> None:
    path, other = found(road, 0, kind), found(road, 1, kind)
    whole = path.read_bytes()
    changed = damage(whole, other.read_bytes())
    assert changed != whole
    path.write_bytes(changed)
    try:
        run_id = road.answer["levels"][0][kind.step]["run_id"]
        ended = run([*kind.command, "--from", run_id, "--force"], road.folder)
    finally:
        path.write_bytes(whole)
    assert ended.code == 2, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    assert kind.name in said["error"]
    assert said["hint"]


@pytest.mark.parametrize("damage", [flipped, cut, swapped])
def test_a_damaged_registered_model_is_refused_by_name(
    damage: Damage, road: Walked, tmp_path: Path
) -> None:
    (tmp_path / "rows.txt").write_text("a chef cooks\tsomebody cooks\n")
    mine, other = sorted(road.folder.glob("mlruns/*/models/*/artifacts/model/model.safetensors"))[
        :2
    ]
    whole = mine.read_bytes()
    mine.write_bytes(damage(whole, other.read_bytes()))
    refused = []
    try:
        for version in range(1, 5):
            address = f"models:/rpmask-demo/{version}"
            ended = run(["predict", address, "--input", str(tmp_path / "rows.txt")], road.folder)
            if ended.code != 0:
                refused.append((ended.code, address in json.loads(ended.stdout)["error"]))
    finally:
        mine.write_bytes(whole)
    assert refused == [(2, True)]


def test_put_back_everything_is_read_again(road: Walked) -> None:
    ended = run(ROAD, road.folder)
    assert ended.answer["reused"]
    assert what_matters(ended.answer) == what_matters(road.answer)
