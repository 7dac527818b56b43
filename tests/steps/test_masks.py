"""`rpmask mask` on the pools of a real run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from commands import answer, rpmask

Road = tuple[Path, dict[str, Any]]


def reference(road: Road, level: int, candidate: int) -> str:
    return f"{road[1]['levels'][level]['sample']['run_id']}#{candidate}"


def test_redraw_gives_the_same_bits(road: Road, tmp_path: Path) -> None:
    for level in (0, 1):  # the second level draws inside a parent mask
        pool = road[1]["levels"][level]["sample"]["candidates"]
        index = max(range(len(pool)), key=lambda i: (pool[i]["importance"] == "fisher", i))
        out = tmp_path / f"{level}.safetensors"
        found = answer(
            ["mask", "redraw", reference(road, level, index), "--out", str(out)], road[0]
        )
        assert found["digest"] == pool[index]["mask_digest"]
        assert answer(["mask", "verify", str(out)], road[0])["digest"] == found["digest"]


def test_show_and_diff(road: Road) -> None:
    shown = answer(["mask", "show", reference(road, 1, 0)], road[0])
    assert shown["kept"] == sum(count["kept"] for count in shown["tensors"].values())
    assert shown["recipe"]["sparsity"] == 0.9375
    parent = road[1]["levels"][0]["finetune"]["run_id"]
    found = answer(["mask", "diff", reference(road, 1, 0), parent], road[0])
    assert found["inside"]
    assert found["overlap"] == 1.0


def test_both_spellings_of_a_candidate(road: Road) -> None:
    name = reference(road, 0, 1)
    shown = answer(["mask", "diff", name, name.replace("#", ":")], road[0])
    assert shown["same"]


def test_a_mask_that_is_not_the_pools_is_refused(road: Road) -> None:
    done = rpmask(["mask", "show", reference(road, 0, 99), "--json"], road[0])
    assert done.returncode == 2
    assert "no candidate '99'" in json.loads(done.stdout)["error"]
