"""The verbs as functions: the same runs and the same answers as on the command line."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rpmask
from rpmask.cli import entry
from rpmask.cli.options import VERBS
from rpmask.cli.python import given_values
from rpmask.errors import RpmaskError
from rpmask.records import Selection
from rpmask.results import FinetuneResult

DRAWN = {"sparsity": 0.8, "k": 4, "train_rows": 256, "selection_rows": 100, "calibration_rows": 16}


def test_a_walk_finds_what_the_command_line_found(
    road: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every step of the first level has finished, so that the same request is answered from its run."""
    folder, ran = road
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    level = ran["levels"][0]
    pool = rpmask.sample(task="demo", **DRAWN, quiet=True)
    race = rpmask.screen(pool, examples=80, budget=0.08, threads=1, quiet=True)
    chosen = rpmask.select(race, take="best", quiet=True)
    trained = rpmask.finetune(chosen, epochs=1, learning_rate=3e-4, threads=1, quiet=True)
    walked = {"sample": pool, "screen": race, "select": chosen, "finetune": trained}
    for verb, found in walked.items():
        assert found.reused is True
        may_differ = {"reused": True, "model": found.model, "promoted": found.get("promoted")}
        assert {**level[verb], **may_differ} == {"promoted": None, **found}
    capsys.readouterr()
    with pytest.raises(SystemExit):
        entry.main(["finetune", "--from", chosen.run_id, *FINETUNE, "--json"])
    assert json.loads(capsys.readouterr().out) == trained
    assert isinstance(chosen.record, Selection)
    assert chosen.record.verdict == chosen.verdict
    assert isinstance(trained.record, FinetuneResult)
    assert trained.record.dev == trained["dev"]
    assert "<pre" in trained._repr_html_()
    assert "retention" in trained._repr_html_()
    assert pickle.loads(pickle.dumps(trained)) == trained
    rows = rpmask.report(task="demo", log=False, quiet=True)
    assert "drawn" in {row["method"] for row in rows.rows}
    assert "leaderboard" in rows._repr_html_()
    assert (
        "MLFLOW_TRACKING_URI" not in os.environ
    )  # a store that one call names is not the next one's


FINETUNE = ("--epochs", "1", "--learning-rate", "3e-4", "--threads", "1")


@pytest.mark.parametrize(
    ("options", "says", "hint"),
    [
        ({"sparsty": 0.9}, "has no option 'sparsty'", "Did you mean sparsity?"),
        ({"train_row": 5}, "has no option 'train_row'", "train_rows"),
        ({"zzz": 5}, "has no option 'zzz'", "rpmask sample --help"),
        ({"k": "six"}, "k should be a whole number, not 'six'", "Number of masks"),
        ({"k": 2.5}, "k should be a whole number, not 2.5", "Number of masks"),
        ({"force": 1}, "force should be true or false, not 1", ""),
        ({"include": [1]}, "include should be a list of texts", ""),
        ({"sparsity": 2}, "--sparsity is 2; it must be above 0 and below 1", "0.9375"),
        ({"task": "rtte"}, "no task 'rtte'", ""),
    ],
)
def test_the_errors_are_those_of_the_command_line(
    options: dict[str, Any], says: str, hint: str
) -> None:
    with pytest.raises(RpmaskError, match=says) as found:
        rpmask.sample(**options)
    assert hint in found.value.hint


def test_what_a_keyword_may_hold() -> None:
    values = {"levels": [0.5, 0.8], "temperature": 0.2, "set": {"max_steps": 5}, "k": "auto"}
    given = given_values(VERBS["run"], {**values, "train_embeddings": True, "epochs": 2})
    assert given == {
        "levels": "0.5,0.8",
        "temperature": "0.2",
        "set": {"max_steps": 5},
        "freeze_embeddings": False,
        "epochs": 2.0,
    }
    with pytest.raises(RpmaskError, match="given twice"):
        given_values(VERBS["run"], {"freeze_embeddings": True, "train_embeddings": True})


def test_the_package_is_imported_without_its_libraries() -> None:
    """A misspelt keyword is refused before anything is loaded."""
    code = (
        "import sys, rpmask\n"
        "print('typer' in sys.modules)\n"
        "try:\n rpmask.run(levls='0.5')\n"
        "except rpmask.RpmaskError as e:\n print(e.hint)\n"
        "print([m for m in ('torch', 'transformers', 'mlflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "Did you mean levels?", "[]"]


def test_every_name_is_there() -> None:
    for name in rpmask.__all__:
        assert getattr(rpmask, name) is not None
    assert "learning_rate" in str(rpmask.finetune.__doc__)


def test_predict_and_mask_answer_as_the_command_line_does(
    road: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, ran = road
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    pair = ("the chef stirred the soup today", "somebody is cooking")
    row = {"text": pair[0], "text_pair": pair[1], "label": "entailment"}
    answers = rpmask.predict(None, [pair, list(pair), row])
    assert answers[0] == answers[1] == answers[2]
    assert "accuracy" in answers.summary
    assert "1 of 3 rows" in answers.summary
    Path("pair.jsonl").write_text(json.dumps(row))
    assert rpmask.predict(input="pair.jsonl") == answers[:1]
    with pytest.raises(SystemExit):
        entry.main(["predict", "--input", "pair.jsonl"])
    assert [json.loads(capsys.readouterr().out)] == answers[:1]
    with pytest.raises(RpmaskError, match="rows or a file"):
        rpmask.predict()
    with pytest.raises(RpmaskError, match="has no option 'experimint'"):
        rpmask.predict(None, [pair], experimint="x")

    level = ran["levels"][0]
    pool, chosen = level["sample"]["run_id"], level["select"]["run_id"]
    first = rpmask.mask.show(f"{pool}#0")
    assert first["digest"] == level["sample"]["candidates"][0]["mask_digest"]
    assert rpmask.mask.diff(f"{pool}#0", f"{pool}#0")["same"]
    assert rpmask.mask.verify(chosen, tracking_uri="sqlite:///mlflow.db")["ok"]
    assert rpmask.mask.redraw(f"{pool}#1", out="again.safetensors")["ok"]
    assert rpmask.mask.show("again.safetensors")["digest"] != first["digest"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        entry.main(["mask", "show", f"{pool}#0", "--json"])
    assert json.loads(capsys.readouterr().out) == first
