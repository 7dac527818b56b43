"""A tiny model that answers questions goes through every verb: dense, run, export, predict, serving."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import official_squad as official
import pytest
from commands import answer, rpmask
from served import scored
from tiny_reader import write_reader, write_squad

import rpmask as package

QUICK = ("--threads", "1", "--batch-size", "16", "--precision", "fp32")


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One level of masks at 50 %: statistics of activations and gradients, a distilled race, a training."""
    folder = tmp_path_factory.mktemp("reader")
    model = write_reader(folder / "encoder")
    train, dev = write_squad(folder)
    found = answer(
        [
            *("run", "-t", "places", "-m", str(model), "--train", str(train), "--dev", str(dev)),
            *("--levels", "0.5", "--k", "3", "--importance", "fisher,wanda", "--max-length", "48"),
            *("--examples", "30", "--budget", "0.5", "--twins", "2", "--selection-rows", "40"),
            *("--dense-epochs", "7", "--dense-rate", "3e-3", "--epochs", "2"),
            *("--learning-rate", "2e-3", "--retain", "0", *QUICK),
        ],
        folder,
    )
    return folder, found


@cache
def answered(folder: Path, model: str) -> tuple[dict[str, str], str]:
    """The answers to dev by id, and what was said on stderr."""
    done = rpmask(["predict", model, "--input", "dev.json"], folder)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(0.0 < row["score"] <= 1.0 for row in rows)
    return {row["id"]: row["answer"] for row in rows}, done.stderr


def test_every_step_is_about_questions(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, found = walked
    level = found["levels"][0]
    trained = level["finetune"]
    assert trained["primary"] == "f1"
    assert trained["dense"]["f1"] > 0.5 > trained["majority"]["f1"]
    assert trained["dev"]["f1"] > 0.3
    assert 0.0 < trained["agreement"] <= 1.0
    assert level["screen"]["candidates"][0]["rungs"][-1]["distance"] is not None
    assert found["champion"]["name"] == "rpmask-places"
    # What the steps report is what the official script finds in the model's answers, asked one by one.
    dev = json.loads((folder / "dev.json").read_text())
    said, line = answered(folder, "models:/rpmask-places@champion")
    expected = official.evaluate_2(dev, said)
    assert trained["dev"] == pytest.approx(expected)
    assert f"f1 {expected['f1']:.4f}" in line
    dense = official.evaluate_2(dev, answered(folder, "models:/rpmask-places@dense")[0])
    assert trained["dense"] == pytest.approx(dense)
    assert dense["no_answer_exact_match"] > 0


def test_an_export_answers_questions(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = walked
    made = answer(
        ["export", "models:/rpmask-places@champion", "--to", "packed", "--out", "packed"], folder
    )
    assert (made["max_abs_diff"], made["same_answers"]) == (0.0, 1.0)
    assert answered(folder, "packed")[0] == answered(folder, "models:/rpmask-places@champion")[0]
    model = package.load(folder / "packed")
    rows = [
        ("who was it ?", "today the chef helped and the green book"),
        ("where was it ?", "near " * 99),
    ]
    found = model.predict(rows)
    assert (
        model.predict([dict(zip(("question", "context"), row, strict=True)) for row in rows])
        == found
    )
    table = {"question": [q for q, _ in rows], "context": [c for _, c in rows]}
    expected = [{**each, "score": pytest.approx(each["score"])} for each in found]
    # The registered model is served by this package's code too, with windows as long as in training.
    uris = made["model_uri"], "models:/rpmask-places@champion"
    assert scored(folder, table, *uris) == [expected, expected]


def test_other_forms_and_a_search(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, before = walked
    champion = "models:/rpmask-places@champion"
    made = answer(["export", champion, "--to", "onnx", "--out", "onnx"], folder)
    assert made["same_answers"] == 1.0
    assert answered(folder, "onnx")[0] == answered(folder, "packed")[0]
    start = before["levels"][0]["sample"]["run_id"]
    found = answer(["jackpot", "--from", f"{start}#0", "--epochs", "1", "--threads", "1"], folder)
    assert found["dev"]["f1"] > 0.5
