"""Refitting and freezing from the command line: as given, and by default."""

from __future__ import annotations

from pathlib import Path

from commands import answer
from mlflow import MlflowClient

SMALL = ("--task", "demo", "--train-rows", "200", "--selection-rows", "60")
DRAW = ["sample", "--k", "2", "-s", "0.9", "--calibration-rows", "8", *SMALL]
RACE = ["screen", "--rungs", "1", "--threads", "1", "--examples", "40", "--twins", "0"]


def test_candidates_and_the_selected_mask_begin_refitted(tmp_path: Path) -> None:
    answer(DRAW, tmp_path)
    racing = [*RACE, "--budget", "0.1"]
    plain, refitted = (answer([*racing, "--race-refit", rows], tmp_path) for rows in ("0", "64"))
    losses = [[one["score"] for one in raced["candidates"]] for raced in (plain, refitted)]
    assert losses[0] != losses[1]
    assert all("distance" in one["rungs"][-1] for one in refitted["candidates"])
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    labels = answer([*racing, "--race-refit", "0", "--race-labels"], tmp_path)
    assert all("distance" not in one["rungs"][-1] for one in labels["candidates"])
    params = [client.get_run(raced["run_id"]).data.params for raced in (refitted, labels)]
    assert params[0]["distill_hidden"] == "1.0"
    assert not {"distill_hidden", "dropout", "freeze_embeddings"} & params[1].keys()
    measured = [client.get_run(raced["run_id"]).data.metrics for raced in (plain, refitted)]
    assert all(one["train_seconds"] > 0 for one in measured)
    assert "refit_seconds" not in measured[0]
    assert measured[1]["refit_seconds"] > 0
    answer(["select", "--from", refitted["run_id"], "--take", "best"], tmp_path)
    training = ["finetune", "--epochs", "0.2", "--threads", "1"]
    trained = answer([*training, "--refit", "64"], tmp_path)
    run = client.get_run(trained["run_id"])
    assert run.data.params["refit"] == "64"
    assert run.data.metrics["refit_seconds"] > 0


def test_refitting_and_freezing_by_default(tmp_path: Path) -> None:
    """A selected mask's weights are refitted; not those of a dense model or of a mask that was searched for
    them."""
    answer(DRAW, tmp_path)
    screened = answer([*RACE, "--budget", "0.02"], tmp_path)
    answer(["select", "--take", "best"], tmp_path)
    training = ["finetune", "--epochs", "0.1", "--threads", "1"]
    selected = answer(training, tmp_path)
    found = answer(["jackpot", "--epochs", "1", "--threads", "1", *SMALL], tmp_path)
    searched = answer([*training, "--from", found["run_id"]], tmp_path)
    dense = answer([*training, "--dense", *SMALL], tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = [client.get_run(one["run_id"]).data for one in (screened, selected, searched, dense)]
    assert [run.params["refit"] for run in runs] == ["32", "256", "0", "0"]
    assert {run.params["freeze_embeddings"] for run in runs} == {"False"}  # as the demo has it
    frozen = answer(
        [*training, "--from", selected["selection_run_id"], "--freeze-embeddings"], tmp_path
    )
    assert client.get_run(frozen["run_id"]).data.params["freeze_embeddings"] == "True"
    assert ["refit_seconds" in run.metrics for run in runs] == [True, True, False, False]
