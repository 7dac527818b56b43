"""A store that an earlier commit made is read, continued and reported on (`fixtures/make_old_store.sh`)."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from commands import answer
from folders import relocate

ARCHIVE = Path(__file__).parent / "fixtures" / "old-store.tar.xz"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store, unpacked, its absolute paths replaced."""
    folder = tmp_path_factory.mktemp("old") / "store"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return relocate(folder, (folder / "place.txt").read_text().strip())


def printed(store: Path, verb: str) -> dict[str, Any]:
    """What a verb of the earlier commit printed with --json."""
    found: dict[str, Any] = json.loads((store / f"{verb}.json").read_text())
    return found


def test_a_mask_is_read_and_drawn_again(store: Path, tmp_path: Path) -> None:
    level = printed(store, "run")["levels"][1]
    for pool, index in ((level["sample"], 1), (printed(store, "sample"), 2)):
        candidate = pool["candidates"][index]
        name = f"{pool['run_id']}#{index}"
        shown = answer(["mask", "show", name], store)
        assert shown["digest"] == candidate["mask_digest"]
        out = tmp_path / f"{pool['task']}.safetensors"
        assert (
            answer(["mask", "redraw", name, "--out", str(out)], store)["digest"] == shown["digest"]
        )


def test_a_pool_is_raced_and_its_study_continued(store: Path) -> None:
    pool = printed(store, "open-pool")
    raced = answer(
        ["screen", "--from", pool["run_id"], "--threads", "1", "--examples", "40"], store
    )
    assert set(raced) >= set(printed(store, "screen"))
    assert [c["id"] for c in raced["candidates"]] == [c["id"] for c in pool["candidates"]]
    more = answer(["sample", "--like", pool["run_id"], "--k", "3"], store)
    assert more["study"] == pool["study"]
    assert set(more) == set(pool)


def test_a_race_is_judged_and_its_winner_trained(store: Path) -> None:
    level = printed(store, "run")["levels"][1]
    chosen = answer(["select", "--from", level["screen"]["run_id"], "--take", "best"], store)
    for key in ("winner", "best", "verdict", "effect", "interval", "shrunk", "noise", "twins"):
        assert chosen[key] == level["select"][key]
    trained = answer(
        ["finetune", "--from", level["select"]["run_id"], "--epochs", "0.5", "--threads", "1"],
        store,
    )
    assert set(trained) == set(level["finetune"])
    assert trained["dense"] == level["finetune"]["dense"]


def test_a_champion_answers_and_is_drawn_inside(store: Path, tmp_path: Path) -> None:
    champion = printed(store, "run")["champion"]
    assert champion["version"] is not None
    exported = answer(
        ["export", "models:/rpmask-demo@champion", "--out", str(tmp_path / "packed")], store
    )
    assert exported["same_answers"] == 1.0
    inside = answer(
        ["sample", "--from", "models:/rpmask-demo@champion", "--k", "2", "--sparsity", "0.97"],
        store,
    )
    assert inside["level"] > 1


def test_a_jackpot_is_searched_from_a_found_mask(store: Path) -> None:
    found = printed(store, "jackpot")
    again = answer(["jackpot", "--from", found["run_id"], "--epochs", "1", "--threads", "1"], store)
    assert set(again) == set(found)
    assert again["weights_digest_before"] == found["weights_digest_before"]


def test_all_of_it_is_reported(store: Path) -> None:
    found = answer(["report", "--each"], store)
    runs = {run for row in found["rows"] for run in row["runs"]}
    walked = printed(store, "run")
    assert {level["finetune"]["run_id"] for level in walked["levels"]} <= runs
    assert printed(store, "jackpot")["run_id"] in runs
