"""A tiny Llama with grouped queries and tied embeddings goes through every verb."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import answer, clean_environment, rpmask
from safetensors.numpy import load_file
from tiny_decoder import write_decoder, write_texts

import rpmask as package
from rpmask.tasks.builtin import demo_model_dir

CHAMPION = "models:/rpmask-story@champion"
PROMPTS = ["the cat", "a log and"]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Dense, a pool at 50 % that is raced, and a training with every term of the distillation."""
    folder = tmp_path_factory.mktemp("story")
    model = write_decoder(folder / "llama")
    train, dev = write_texts(folder)
    data = ["--kind", "language", "--train", str(train), "--dev", str(dev), "--max-length", "16"]
    quick = ["--threads", "1", "--batch-size", "16", "--precision", "fp32"]
    rate = ["--learning-rate", "1e-2"]
    dense = answer(
        [
            *("finetune", "--dense", "-t", "story", "-m", str(model), *data),
            *("--epochs", "6", *rate, *quick),
        ],
        folder,
    )
    found = answer(
        [
            *("run", "-t", "story", "-m", "models:/rpmask-story@dense", *data),
            *("--levels", "0.5", "--k", "5", "--importance", "fisher,wanda"),
            *("--calibration-rows", "16", "--examples", "20", "--budget", "0.5", "--twins", "2"),
            *(
                "--epochs",
                "2",
                "--distill-hidden",
                "0.1",
                "--distill-attention",
                "0.1",
                "--retain",
                "0",
                *rate,
                *quick,
            ),
        ],
        folder,
    )
    return folder, {**found, "dense": dense}


def test_every_step_is_about_the_next_token(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, found = walked
    (level,) = found["levels"]
    trained = level["finetune"]
    assert trained["primary"] == "perplexity"
    assert set(trained["dev"]) == {"perplexity", "bits_per_byte"}
    dense, sparse = trained["dense"]["perplexity"], trained["dev"]["perplexity"]
    assert dense == pytest.approx(found["dense"]["dev"]["perplexity"])
    assert 1 < dense < trained["majority"]["perplexity"]
    assert trained["retention"] == pytest.approx(dense / sparse)
    assert trained["promoted"]
    assert 0.5 < trained["agreement"] <= 1.0
    (kept,) = folder.rglob(f"{trained['run_id']}/artifacts/dev.safetensors")
    assert set(load_file(kept)) == {"dev/losses"}
    raced = level["screen"]["candidates"]
    assert all(c["rungs"][-1]["distance"] > 0 for c in raced)
    assert found["champion"]["name"] == "rpmask-story"


def test_an_export_continues_a_text_as_the_registered_model_does(
    walked: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = walked
    made = answer(["export", CHAMPION, "--to", "packed", "--out", "packed"], folder)
    assert made["max_abs_diff"] == 0.0
    assert made["same_answers"] == 1.0
    model = package.load(folder / "packed")
    ours = model.predict(PROMPTS, new_tokens=5)
    assert [each["text"] for each in ours] == PROMPTS
    assert ours[0]["continuation"].split()[0] in ("sat", "ran", "slept")
    (folder / "prompts.jsonl").write_text("\n".join(json.dumps({"text": p}) for p in PROMPTS))
    asked = ["predict", CHAMPION, "--input", "prompts.jsonl", "--new-tokens", "5"]
    done = rpmask(asked, folder)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == ours

    fastest = answer(["export", CHAMPION, "--to", "auto", "--out", "auto"], folder)
    assert fastest["format"] != "onnx"  # which continues no text

    served, registered = _served(folder, made["model_uri"], CHAMPION)
    whole = model.predict(PROMPTS)
    assert served == whole
    assert [each.startswith(p) for each, p in zip(registered, PROMPTS, strict=True)] == [True] * 2


def _served(folder: Path, *addresses: str) -> list[Any]:
    """What MLflow's scoring gives for the prompts."""
    code = (
        "import json, mlflow, pandas\n"
        f"table = pandas.DataFrame({{'text': {PROMPTS!r}}})\n"
        f"for uri in {addresses!r}:\n"
        "    found = mlflow.pyfunc.load_model(uri).predict(table)\n"
        "    rows = found.to_dict('records') if isinstance(found, pandas.DataFrame) else found\n"
        "    print('found ' + json.dumps(list(rows)))"
    )
    environment = {**clean_environment(), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    return [json.loads(line.removeprefix("found ")) for line in said]


def test_what_makes_no_sense_is_refused(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = walked
    (folder / "text.txt").write_text("a text\n")
    data = ["--kind", "language", "--train", "train.txt", "--dev", "dev.txt"]
    for command, said in (
        (["sample", "-t", "story", *data], "The task 'story' needs a model"),
        (["sample", "-t", "story", "-m", "demo", *data], "no head 'language' can be drawn"),
        (["export", CHAMPION, "--to", "onnx", "--out", "onnx"], "token by token"),
        (
            ["predict", str(demo_model_dir()), "--input", "text.txt", "--new-tokens", "3"],
            "does not continue texts",
        ),
    ):
        done = rpmask(command, folder)
        assert done.returncode == 2
        assert said in done.stderr
