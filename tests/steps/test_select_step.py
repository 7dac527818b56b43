"""`select` registers models of every kind, and `screen` says which recipe races a paper pool."""

from __future__ import annotations

from pathlib import Path

from commands import answer, rpmask


def test_an_image_model_is_selected_from_a_paper_pool(tmp_path: Path) -> None:
    small = ("--recipe", "paper", "--k", "3", "--train-rows", "128", "--selection-rows", "60")
    answer(["sample", "-t", "digits", *small], tmp_path)
    raced = rpmask(["screen", "-t", "digits", "--threads", "1", "--examples", "40"], tmp_path)
    assert raced.returncode == 0, raced.stderr
    assert (
        "drawn with --recipe paper, and `screen` races it with the default recipe" in raced.stderr
    )
    model = answer(["select", "-t", "digits"], tmp_path)["model"]
    assert (model["name"], model["alias"]) == ("rpmask-digits", "selected")
