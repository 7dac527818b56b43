"""Refitting from the command line: candidates before they race, the selected mask before it is trained."""

from __future__ import annotations

from pathlib import Path

from commands import answer
from mlflow import MlflowClient

SMALL = ("--task", "demo", "--train-rows", "200", "--selection-rows", "60")


def test_candidates_and_the_selected_mask_begin_refitted(tmp_path: Path) -> None:
    answer(["sample", "--k", "2", "-s", "0.9", *SMALL], tmp_path)
    racing = ["screen", "--budget", "0.2", "--rungs", "1", "--threads", "1"]
    plain, refitted = (answer([*racing, "--race-refit", rows], tmp_path) for rows in ("0", "64"))
    losses = [[one["score"] for one in raced["candidates"]] for raced in (plain, refitted)]
    assert losses[0] != losses[1]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    measured = [client.get_run(raced["run_id"]).data.metrics for raced in (plain, refitted)]
    assert all(one["train_seconds"] > 0 for one in measured)
    assert "refit_seconds" not in measured[0]
    assert measured[1]["refit_seconds"] > 0
    answer(["select", "--from", refitted["run_id"], "--take", "best"], tmp_path)
    trained = answer(["finetune", "--epochs", "1", "--threads", "1", "--refit", "64"], tmp_path)
    run = client.get_run(trained["run_id"])
    assert run.data.params["refit"] == "64"
    assert run.data.metrics["refit_seconds"] > 0
