"""A tiny tagger goes through every verb: dense, run, export, predict, serving."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import answer, clean_environment, rpmask
from served import scored
from tiny_tagger import TAGS, write_rows, write_tagger

import rpmask as package

QUICK = ("--threads", "1", "--batch-size", "16", "--precision", "fp32")


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One level of masks at 50 %: statistics of activations and gradients, a distilled race, a training."""
    folder = tmp_path_factory.mktemp("tagger")
    model = write_tagger(folder / "encoder")
    train, dev = write_rows(folder)
    found = answer(
        [
            *("run", "-t", "people", "-m", str(model), "--train", str(train), "--dev", str(dev)),
            *("--levels", "0.5", "--k", "3", "--importance", "fisher,wanda", "--max-length", "32"),
            *("--examples", "30", "--budget", "0.5", "--twins", "2", "--selection-rows", "40"),
            *("--dense-epochs", "6", "--dense-rate", "3e-3", "--epochs", "3"),
            *("--learning-rate", "2e-3", "--retain", "0", *QUICK),
        ],
        folder,
    )
    return folder, found


def test_every_step_is_about_entities(walked: tuple[Path, dict[str, Any]]) -> None:
    _, found = walked
    level = found["levels"][0]
    trained = level["finetune"]
    assert trained["primary"] == "entity_f1"
    assert set(trained["dev"]) == {
        *("entity_f1", "entity_precision", "entity_recall", "accuracy"),
    }
    assert trained["dense"]["entity_f1"] > 0.5 > trained["majority"]["entity_f1"] == 0.0
    assert trained["dev"]["entity_f1"] > 0.3
    assert 0.0 < trained["agreement"] <= 1.0
    assert all(c["rungs"][-1]["loss"] > 0 for c in level["screen"]["candidates"])
    assert level["screen"]["candidates"][0]["rungs"][-1]["distance"] is not None
    assert found["champion"]["name"] == "rpmask-people"


def test_an_export_answers_lists_of_words(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = walked
    made = answer(
        ["export", "models:/rpmask-people@champion", "--to", "packed", "--out", "packed"], folder
    )
    assert made["max_abs_diff"] == 0.0
    assert made["compared_rows"] > 1
    model = package.load(folder / "packed")
    (one,) = model.predict([["the", "chef", "saw"]])
    assert one["tokens"] == ["the", "chef", "saw"]
    assert len(one["tags"]) == len(one["scores"]) == 3
    assert set(one["tags"]) <= set(TAGS)
    assert model.predict(["the chef saw"]) == [one]

    done = rpmask(["predict", "packed", "--input", "dev.jsonl"], folder)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    rows = [json.loads(line) for line in (folder / "dev.jsonl").read_text().splitlines()]
    assert [each["tokens"] for each in said] == [row["tokens"] for row in rows]
    right = [
        a == b
        for s, r in zip(said, rows, strict=True)
        for a, b in zip(s["tags"], r["tags"], strict=True)
    ]
    assert f"accuracy {sum(right) / len(right):.4f} on 40 rows" in done.stderr
    registered = rpmask(
        ["predict", "models:/rpmask-people@champion", "--input", "dev.jsonl"], folder
    )
    again = [json.loads(line)["tags"] for line in registered.stdout.splitlines()]
    assert again == [each["tags"] for each in said]

    (served,) = scored(folder, {"tokens": [["the", "chef", "saw"]]}, made["model_uri"])
    assert served == [{**one, "scores": pytest.approx(one["scores"])}]


def test_perturbed_rows_and_another_form(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = walked
    made = answer(
        ["export", "models:/rpmask-people@champion", "--to", "csr", "--out", "csr"], folder
    )
    assert made["same_answers"] == 1.0
    again = answer(["finetune", "-t", "people", "--epochs", "1", "--augment", "1", *QUICK], folder)
    assert again["dev"]["entity_f1"] > 0.3


def test_the_registered_model_answers_a_text(walked: tuple[Path, dict[str, Any]]) -> None:
    """Through transformers' own pipeline, as other tools would use it."""
    folder, _ = walked
    code = (
        "import mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model('models:/rpmask-people@champion')\n"
        "print(model.predict(pandas.DataFrame({'text': ['the old chef saw the clinic']})))"
    )
    environment = {**clean_environment(), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert any(tag in done.stdout for tag in ("PER", "LOC"))
