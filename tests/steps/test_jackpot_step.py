"""`jackpot` through the command line on the digits: keys, digests, starts, what `finetune` makes of it."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import Running, answer
from mlflow import MlflowClient

from rpmask.charts.leaderboard import leaderboard_rows
from rpmask.charts.run_results import results_of
from rpmask.errors import RpmaskError
from rpmask.heads.splits import encode_images
from rpmask.lottery_jackpots.norms import (
    running_statistics,
    set_running_statistics,
    statistics_digest,
)
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.masks.packed_format import load_mask
from rpmask.records import SearchSpace
from rpmask.results import JackpotResult
from rpmask.steps.context import Context
from rpmask.steps.jackpot import jackpot
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.requests import SampleRequest
from rpmask.steps.sample import sample
from rpmask.tasks.evaluate_metrics import TaskMetric
from rpmask.tasks.images import DIGITS
from rpmask.tasks.registry import load_task
from rpmask.tracking.facts import finished_steps
from rpmask.tracking.registry import fetch
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier, load_image_processor

SEARCH = ["jackpot", "--task", "digits", "--epochs", "3", "--batch-size", "16", "--threads", "1"]
KEYS = {
    "run_id",
    "experiment",
    "task",
    "model",
    "level",
    "sparsity",
    "seconds",
    "reused",
    "start",
    "mask_digest",
    "weights_digest_before",
    "weights_digest_after",
    "dense",
    "start_metrics",
    "dev",
    "swaps_per_epoch",
}


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    # A store that is used in this process becomes the default of processes started after it.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("jackpot")
    return folder, answer(SEARCH, folder)


def artifact(folder: Path, run_id: str, name: str) -> Path:
    return next(folder.glob(f"mlruns/*/{run_id}/artifacts/{name}"))


def test_what_is_printed(found: tuple[Path, dict[str, Any]]) -> None:
    _, result = found
    assert set(result) >= KEYS
    assert result["weights_digest_before"] == result["weights_digest_after"]
    assert len(result["swaps_per_epoch"]) == 3
    assert result["dense"]["accuracy"] >= 0.975
    # Three epochs are enough for the claim of the method's second half.
    assert result["dev"]["accuracy"] >= result["start_metrics"]["accuracy"] + 0.05


def test_dev_is_reported_by_the_metric_of_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dense model, the start and what was found."""
    asked: list[dict[str, float]] = []
    compute = TaskMetric._compute

    def watched(self: TaskMetric, predictions: Any, references: Any) -> dict[str, float]:
        asked.append(compute(self, predictions, references))
        return asked[-1]

    monkeypatch.setattr(TaskMetric, "_compute", watched)
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    plan = SearchPlan(epochs=1, batch_size=64)
    made = jackpot(JackpotRequest("digits", "digits", plan=plan), context)
    assert asked == [made["dense"], made["start_metrics"], made["dev"]]


def test_what_is_kept(found: tuple[Path, dict[str, Any]]) -> None:
    folder, result = found
    mask = load_mask(artifact(folder, result["run_id"], "mask.safetensors"))
    start = load_mask(artifact(folder, result["run_id"], "start.safetensors"))
    assert mask.digest == result["mask_digest"]
    assert mask.counts() == start.counts()
    assert mask.kept() == round(0.1 * mask.total())
    assert mask.overlap(start) == pytest.approx(result["overlap"])
    for chart in ("search", "density"):
        assert artifact(folder, result["run_id"], f"charts/{chart}.png").stat().st_size > 10_000
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    swaps = client.get_metric_history(result["run_id"], "search/swaps")
    assert [point.value for point in swaps] == result["swaps_per_epoch"]
    assert [point.step for point in swaps] == [1, 2, 3]
    metrics = client.get_run(result["run_id"]).data.metrics
    sparsities = {n: v for n, v in metrics.items() if n.startswith("sparsity/")}
    assert set(sparsities) == {f"sparsity/{name}" for name in mask.names}


def test_the_registered_model_answers_as_the_evaluated_one(
    found: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = found
    assert result["norm_statistics"] == "batch"
    assert result["statistics_digest_before"] != result["statistics_digest_after"]
    context = Context(f"sqlite:///{folder}/mlflow.db", folder=folder / ".rpmask")
    version = f"models:/{result['model']['name']}/{result['model']['version']}"
    model = load_classifier(fetch(context.tracker, version), DIGITS)
    own = running_statistics(model)
    assert statistics_digest(own) == result["statistics_digest_after"]
    dev = encode_images(load_task("digits").dev["dev"], load_image_processor("digits"))
    assert evaluate(model, dev, DIGITS).metrics == result["dev"]
    # With the dense model's statistics the same mask answers hardly better than chance.
    set_running_statistics(model, running_statistics(load_classifier("digits", DIGITS)))
    assert evaluate(model, dev, DIGITS).metrics["accuracy"] < result["dev"]["accuracy"] - 0.2
    note = context.tracker.client.get_run(result["run_id"]).data.tags["mlflow.note.content"]
    assert "**moved**" in note
    assert "no weights" in note


def test_a_record_of_before_is_read(found: tuple[Path, dict[str, Any]]) -> None:
    folder, result = found
    record = json.loads(artifact(folder, result["run_id"], "jackpot.json").read_text())
    older = {name: value for name, value in record.items() if "statistics_digest" not in name}
    older["norm_statistics"] = "frozen"
    read = JackpotResult.from_dict(older)
    assert (read.norm_statistics, read.statistics_digest_after) == ("frozen", "")


def test_the_same_search_is_not_done_twice(found: tuple[Path, dict[str, Any]]) -> None:
    folder, result = found
    again = answer(SEARCH, folder)
    assert again["reused"]
    assert again["run_id"] == result["run_id"]


def test_finetune_takes_the_mask(found: tuple[Path, dict[str, Any]]) -> None:
    folder, result = found
    tuned = answer(
        ["finetune", "--from", result["run_id"], "--epochs", "1", "--threads", "1"], folder
    )
    mask = load_mask(artifact(folder, tuned["run_id"], "mask.safetensors"))
    assert mask.digest == result["mask_digest"]
    assert tuned["selection_run_id"] == result["run_id"]
    assert tuned["sparsity"] == 0.9
    assert tuned["dense"] == result["dense"]


def test_a_search_starts_from_what_the_registry_holds(
    found: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = found
    name = result["model"]["name"]
    version = f"models:/{name}/{result['model']['version']}"
    once = ["--epochs", "1", "--threads", "1"]
    asked = ["--norm-statistics", "reestimated", "--batch-size", "64"]
    further = answer(["jackpot", "--from", version, *once, *asked], folder)
    assert further["start"] == version
    start = load_mask(artifact(folder, further["run_id"], "start.safetensors"))
    assert start.digest == result["mask_digest"]
    assert further["weights_digest_before"] == result["weights_digest_before"]
    note = (
        MlflowClient(f"sqlite:///{folder}/mlflow.db")
        .get_run(further["run_id"])
        .data.tags["mlflow.note.content"]
    )
    assert "re-estimated" in note


def test_an_alias_that_moves_does_not_change_what_was_searched(
    found: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = found
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    name, version = result["model"]["name"], result["model"]["version"]
    client.set_registered_model_alias(name, "dense", str(version))
    client.set_model_version_tag(name, str(version), "rpmask.sparsity", "0.0")  # as of a dense one
    address = f"models:/{name}@dense"
    once = ["jackpot", "--task", "digits", "--epochs", "1", "--batch-size", "64", "--threads", "1"]
    searched = answer([*once, "--model", address], folder)
    record = json.loads(artifact(folder, searched["run_id"], "jackpot.json").read_text())
    assert record["weights"] == f"models:/{name}/{version}"
    assert record["model"] == address


def test_a_candidate_of_a_pool_is_a_start(found: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = found
    pool = answer(["sample", "--task", "digits", "--k", "2", "--importance", "magnitude"], folder)
    digest = pool["candidates"][1]["mask_digest"]
    start = f"{pool['run_id']}:1"
    result = answer(["jackpot", "--from", start, "--epochs", "1", "--threads", "1"], folder)
    mask = load_mask(artifact(folder, result["run_id"], "start.safetensors"))
    assert mask.digest == digest
    # `rpmask mask` writes it with a hash.
    again = answer(
        ["jackpot", "--from", start.replace(":", "#"), "--epochs", "1", "--threads", "1"], folder
    )
    assert (again["run_id"], again["start"], again["reused"]) == (result["run_id"], start, True)
    context = Context(f"sqlite:///{folder}/mlflow.db", folder=folder / ".rpmask")
    with pytest.raises(RpmaskError, match="has no candidate '9'"):
        jackpot(JackpotRequest(start=f"{pool['run_id']}:9"), context)


def test_searches_from_two_candidates_are_two_rows(found: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = found
    context = Context(f"sqlite:///{folder}/mlflow.db", folder=folder / ".rpmask")
    space = SearchSpace(importances=("magnitude",))
    drawn = SampleRequest("digits", "digits", sparsity=0.9, k=2, space=space)
    pools = [
        sample(request, context)["run_id"]
        for request in (
            drawn,
            replace(drawn, seed=1),
            replace(drawn, space=replace(space, temperature=(0.01, 0.01))),
        )
    ]
    starts = [f"{pools[0]}:0", *(f"{pool}:1" for pool in pools)]
    once = SearchPlan(epochs=1, batch_size=64)
    ids = [jackpot(JackpotRequest(start=start, plan=once), context)["run_id"] for start in starts]
    tracker = context.tracker
    rows = leaderboard_rows(results_of(finished_steps(tracker, "digits")), set())
    mine = [{run for run in row.runs if run in ids} for row in rows]
    # Two candidates are two ways, and so are two temperatures; two seeds are not.
    assert {frozenset(runs) for runs in mine if runs} == {
        frozenset(ids[:1]),
        frozenset((ids[1], ids[2])),
        frozenset(ids[3:]),
    }
    settings = {run: row.settings for row in rows for run in row.runs}
    assert "from=candidate 0" in settings[ids[0]]
    assert "from=candidate 1" in settings[ids[1]]


def test_killed_and_given_again_it_comes_to_the_same_mask(
    found: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    process = Running(SEARCH, tmp_path).process
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("search.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = answer(SEARCH, tmp_path)
    _, whole = found
    for key in (
        "mask_digest",
        "weights_digest_before",
        "weights_digest_after",
        "dev",
        "swaps_per_epoch",
    ):
        assert resumed[key] == whole[key], key
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = database.execute("select count(*) from runs").fetchone()[0]
    assert runs == 1  # continued under the same run


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (JackpotRequest("digits", "digits", start="lucky"), "There is no start 'lucky'"),
        (JackpotRequest("digits", "digits", sparsity=1.5), "--sparsity is 1.5"),
        (JackpotRequest("digits", "digits", start="f" * 32), "There is no run 'ffff"),
        (JackpotRequest("cifar10", "digits"), "hub cannot be reached"),
        (JackpotRequest("digits", "digits", plan=SearchPlan(restriction="no")), "'no'"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, request_: JackpotRequest, named: str) -> None:
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / "state")
    with pytest.raises(RpmaskError, match=named):
        jackpot(request_, context)
