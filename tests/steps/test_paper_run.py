"""`run --recipe paper`, short, on the demo: what MLflow holds says that the public values were used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from commands import answer

SHORT = [
    *("--recipe", "paper", "--levels", "0.54,0.9375", "--train-rows", "256"),
    *("--selection-rows", "60", "--examples", "40", "--threads", "1"),
    *("--distilled-epochs", "0.5", "--level-epochs", "0.5", "--epochs", "0.5"),
]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], mlflow.MlflowClient]:
    folder: Path = tmp_path_factory.mktemp("paper")
    result = answer(["run", "--task", "demo", *SHORT], folder)
    return result, mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")


def params(walked: Any, run_id: str) -> dict[str, str]:
    return dict(walked[1].get_run(run_id).data.params)


TRAINED = {
    "learning_rate": "5e-05",
    "batch_size": "64",
    "weight_decay": "0.0",
    "max_grad_norm": "0.0",
    "warmup": "0.1",
    "evaluate_every": "50",
    "refit": "0",
    "freeze_embeddings": "False",
    "distill_labels": "0.0",
    "distill_logits": "1.0",
    "distill_hidden": "1.0",
    "distill_attention": "1.0",
    "distill_temperature": "1.0",
    "distill_logit_loss": "cross-entropy",
    "distill_attention_mean": "full-length",
    "distill_regression_target": "labels",
}
RACED = {
    **{name: value for name, value in TRAINED.items() if name not in ("warmup", "learning_rate")},
    "learning_rate": "0.0002",
    "epochs": "1.0",
    "full": "True",
    "distilled": "True",
    "scored_evaluations": "10",
}


@pytest.mark.parametrize("name", TRAINED)
def test_trained_with(walked: Any, name: str) -> None:
    trained = [walked[0]["distilled"], *(level["finetune"] for level in walked[0]["levels"])]
    assert [params(walked, one["run_id"])[name] for one in trained] == [TRAINED[name]] * 3


@pytest.mark.parametrize("name", RACED)
def test_raced_with(walked: Any, name: str) -> None:
    for level in walked[0]["levels"]:
        assert params(walked, level["screen"]["run_id"])[name] == RACED[name]


def test_the_pool_is_logged_as_it_was_drawn(walked: Any) -> None:
    for level in walked[0]["levels"]:
        logged = params(walked, level["sample"]["run_id"])
        assert logged["importance"] == "magnitude"
        assert logged["temperature"] == "0.2"
        assert logged["sample_ratio"] == "5e-05,0.0001,8e-05,0.0003"
        assert logged["allocation"] == "0.0"


def test_the_public_recipe_trains_no_twins(walked: Any) -> None:
    for level in walked[0]["levels"]:
        assert level["screen"]["twins"] == []
        assert level["select"]["noise"] is None


def test_eight_draws_and_the_control(walked: Any) -> None:
    for level in walked[0]["levels"]:
        control, *drawn = level["sample"]["candidates"]
        assert control["control"]
        assert [one["sample_ratio"] for one in drawn] == [5e-5, 1e-4, 8e-5, 3e-4] * 2
        assert {one["temperature"] for one in drawn} == {0.2}
        assert {one["importance"] for one in drawn} == {"magnitude"}
        assert {one["allocation"] for one in drawn} == {0.0}
        assert {one["status"] for one in level["screen"]["candidates"]} == {"finished"}


def test_the_rate_falls_at_the_last_level_only(walked: Any) -> None:
    first, last = (level["finetune"]["run_id"] for level in walked[0]["levels"])
    schedules = [
        params(walked, run)["schedule"] for run in (walked[0]["distilled"]["run_id"], first, last)
    ]
    assert schedules == ["constant", "constant", "linear"]


def test_an_epoch_of_distillation_without_a_mask_comes_first(walked: Any) -> None:
    """Its weights are what the first level is drawn from, and the teacher stays."""
    result, client = walked
    distilled = result["distilled"]
    made = f"models:/{distilled['model']['name']}/{distilled['model']['version']}"
    assert params(walked, distilled["run_id"])["teacher"] == "demo"
    assert client.get_run(distilled["run_id"]).info.run_name == "finetune demo dense, distilled"
    assert distilled["sparsity"] == 0.0
    first, last = (params(walked, level["finetune"]["run_id"]) for level in result["levels"])
    assert (first["start"], first["teacher"]) == (made, "demo")
    assert last["teacher"] == "demo"
    assert last["start"] != made
    assert "dense" not in client.get_registered_model("rpmask-demo").aliases
