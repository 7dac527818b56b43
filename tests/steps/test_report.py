"""`rpmask report` over a store of many runs, and over a real run."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from commands import answer, rpmask
from manyroads import SETTINGS, TASKS, dev_metric, fill_folder
from mlflow import MlflowClient

from rpmask.charts.leaderboard import LeaderboardRow
from rpmask.steps.context import Context
from rpmask.steps.report import COLUMNS, cells, comma_separated, leaderboard, publish
from rpmask.steps.requests import ReportRequest

ROADS = len(TASKS) * len(SETTINGS) * 4


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    assert fill_folder(folder) == ROADS >= 60
    return folder


def test_sixty_runs_are_read_in_far_less_than_three_seconds(many: Path) -> None:
    context = Context(tracking_uri=f"sqlite:///{many}/mlflow.db", folder=many / ".rpmask")
    assert context.tracker.experiment == "rpmask"
    began = time.process_time()
    rows = leaderboard(ReportRequest(), context)
    # A tenth of a second where it was written; the rest of an answer is Python and MLflow starting.
    assert time.process_time() - began < 1.5
    assert len(rows) == len(TASKS) * len(SETTINGS)
    for row in rows:
        assert len(row.seeds) == 4
        setting = [s for s, *_ in SETTINGS].index(row.sparsity)
        setting += row.method == "paper"
        assert row.mean == pytest.approx(dev_metric(TASKS.index(row.task), setting, 1.5))


def test_table_markdown_csv_and_page(many: Path) -> None:
    done = rpmask(["report", "--task", "rte", "--no-log"], many)
    assert done.returncode == 0, done.stderr
    assert "leaderboard of rpmask: 16 runs" in done.stdout
    assert "±0.0021" in done.stdout
    assert done.stderr == ""
    table = rpmask(["report", "--task", "rte", "--no-log", "--format", "md"], many).stdout
    assert len(table.splitlines()) == 2 + len(SETTINGS)
    text = rpmask(["report", "--each", "--no-log", "--format", "csv"], many).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == ROADS
    assert float(rows[0]["mean"]) == pytest.approx(float(rows[0]["retention"]) * 0.95)


def test_page_is_logged_once_and_fetches_nothing(many: Path) -> None:
    done = rpmask(["report", "--out", "board.html"], many)
    assert done.returncode == 0, done.stderr
    page = (many / "board.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "<link" not in page
    assert page.count("<figure>") == len(TASKS)
    first = answer(["report"], many)
    assert first["reused"]  # the same rows: the page of the first call is theirs
    mlflow.set_tracking_uri(f"sqlite:///{many}/mlflow.db")
    client = MlflowClient()
    run = client.get_run(first["run_id"])
    assert run.data.tags["rpmask.step"] == "report"
    assert {file.path for file in client.list_artifacts(first["run_id"])} >= {"report.html"}
    assert "| rte |" in run.data.tags["mlflow.note.content"]


def test_nothing_to_compare_and_unknown_formats_are_said(many: Path, tmp_path: Path) -> None:
    for folder, options, says in (
        (tmp_path, [], "There is no tracking store"),
        (many, ["--task", "nothing"], "has no finished training or search of the task 'nothing'"),
    ):
        done = rpmask(["report", "--json", *options], folder)
        assert done.returncode == 2
        assert says in json.loads(done.stdout)["error"]
    assert not (tmp_path / "mlflow.db").exists()
    done = rpmask(["report", "--out", "board.pdf"], tmp_path)
    assert done.returncode == 2
    assert "no report format 'pdf'" in done.stderr


def test_a_real_run_is_on_the_leaderboard(road: tuple[Path, dict[str, Any]]) -> None:
    folder, walked = road
    found = answer(["report", "--task", "demo", "--no-log"], folder)
    mine = {run: row for row in found["rows"] for run in row["runs"]}
    for level in walked["levels"]:
        row = mine[level["finetune"]["run_id"]]
        assert row["mean"] == level["finetune"]["dev"]["accuracy"]
        assert row["sparsity"] == level["sparsity"]
    last = walked["levels"][-1]["finetune"]["run_id"]
    assert mine[last]["champion"]
    spent = [
        level["screen"]["steps_spent"] + level["finetune"]["steps"] for level in walked["levels"]
    ]
    assert mine[last]["steps"] == sum(spent)


def test_a_dense_metric_of_zero_gives_a_page_and_a_dash(tmp_path: Path) -> None:
    row = LeaderboardRow(
        task="cola",
        model="bert",
        method="drawn",
        sparsity=0.9,
        settings="",
        metric="matthews_correlation",
        seeds=("0",),
        mean=0.1,
        interval=(),
        dense=0.0,
        retention=math.nan,
        better=None,
        steps=100.0,
        seconds=10.0,
        champion=False,
        runs=("a",),
    )
    context = Context(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    found = publish([row], ReportRequest(), context)
    assert found["rows"][0]["retention"] is None
    assert publish([row], ReportRequest(), context)["reused"]
    assert dict(zip(COLUMNS, cells(row), strict=True))["retention"] == "-"
    (line,) = csv.DictReader(io.StringIO(comma_separated([row])))
    assert (line["retention"], line["low"], line["dense"]) == ("", "", "0.0")
