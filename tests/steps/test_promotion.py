"""Who is champion: decided on the selection split, whatever dev says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import answer
from mlflow import MlflowClient
from test_finetune import RESULT

from rpmask.steps.promotion import SELECTION, beats, promotion
from rpmask.tracking import registry
from rpmask.tracking.tracker import Tracker


def trained(sparsity: float, metric: float, **changed: Any) -> Any:
    return replace(
        RESULT,
        sparsity=sparsity,
        selection={"accuracy": metric},
        dense_selection={"accuracy": 0.8},
        **changed,
    )


@pytest.mark.parametrize(
    ("sparsity", "metric", "reigning", "its", "won"),
    [
        # Six digits of 0.9921875 and 2/3 are above them: the better model at the same sparsity.
        (0.9921875, 0.81, "0.992188", 0.8, True),
        (2 / 3, 0.81, "0.666667", 0.8, True),
        # Six digits of 0.9765625 are below it: the worse model at the same sparsity.
        (0.9765625, 0.79, "0.976562", 0.8, False),
        (0.9, 250 / 300, "0.9", 250 / 300, False),
        (0.9, 251 / 300, "0.9", 250 / 300, True),
        # A sparser one that keeps 90 % of 0.8, and one that does not.
        (0.91, 0.73, "0.9", 0.8, True),
        (0.91, 0.71, "0.9", 0.8, False),
        (0.89, 0.99, "0.9", 0.8, False),
    ],
)
def test_who_wins(sparsity: float, metric: float, reigning: str, its: float, won: bool) -> None:
    assert beats(trained(sparsity, metric), {"rpmask.sparsity": reigning}, its, 0.9) is won


@pytest.mark.parametrize(
    ("sparsity", "perplexity", "its", "won"),
    [
        (0.9, 19.0, 20.0, True),
        (0.9, 20.0, 20.0, False),
        # A sparser one that keeps 90 % of 18, and one that does not.
        (0.91, 19.9, 10.0, True),
        (0.91, 20.1, 30.0, False),
    ],
)
def test_lower_may_be_better(sparsity: float, perplexity: float, its: float, won: bool) -> None:
    result = replace(
        RESULT,
        primary="perplexity",
        sparsity=sparsity,
        selection={"perplexity": perplexity},
        dense_selection={"perplexity": 18.0},
        lower_is_better=True,
    )
    assert beats(result, {"rpmask.sparsity": "0.9"}, its, 0.9) is won


def test_dev_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "who", folder=tmp_path / ".rpmask")
    reigning = {"rpmask.sparsity": "0.9", "rpmask.metric": "0.5", SELECTION: "0.8"}
    monkeypatch.setattr(registry, "champion", lambda tracker, task: reigning)
    for metric, dev, won in ((0.79, 0.99, False), (0.81, 0.1, True)):
        result = trained(0.9, metric, dev={"accuracy": dev}, retention=dev / 0.9)
        with promotion(tracker, result, 0.9) as promoted:
            assert promoted is won


def test_a_champion_of_an_older_version_is_known_by_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "who", folder=tmp_path / ".rpmask")
    run = tracker.client.create_run(tracker.experiment_id).info.run_id
    for step, value in enumerate((0.6, 0.8, 0.7)):  # the best weights were kept
        tracker.client.log_metric(run, "selection/accuracy", value, step=step)
    reigning = {"rpmask.sparsity": "0.9", "rpmask.metric": "0.99", "rpmask.run": run}
    monkeypatch.setattr(registry, "champion", lambda tracker, task: reigning)
    for metric, won in ((0.79, False), (0.81, True)):
        with promotion(tracker, trained(0.9, metric), 0.9) as promoted:
            assert promoted is won


def test_another_share_to_retain_trains_nothing_and_decides_again(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    folder, done = road
    before = done["levels"][-1]["finetune"]
    chosen = done["levels"][-1]["select"]["run_id"]
    again = ["finetune", "--from", chosen, "--epochs", "0.5", "--threads", "1", "--force"]
    strict = answer([*again, "--retain", "5"], folder)  # as sparse as the champion and no better
    loose = answer([*again[:-1], "--retain", "0.1"], folder)
    assert not strict["promoted"]
    assert loose["reused"]
    assert loose["run_id"] == strict["run_id"]
    assert not loose["promoted"]
    client.delete_registered_model_alias("rpmask-demo", "champion")
    try:
        first = answer([*again[:-1], "--retain", "0.2"], folder)
        assert first["reused"]
        assert first["promoted"]
        reigning = client.get_model_version_by_alias("rpmask-demo", "champion")
        assert int(reigning.version) == first["model"]["version"]
    finally:
        number = str(before["model"]["version"])
        client.set_registered_model_alias("rpmask-demo", "champion", number)
