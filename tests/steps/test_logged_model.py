"""The champion as MLflow's logged model: its metrics with their datasets, its charts, its evaluation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import clean_environment
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

Road = tuple[Path, dict[str, Any]]
PAGE = Path(__file__).parent.parent.parent / "docs" / "mlflow.md"


@pytest.fixture
def trained(road: Road, client: MlflowClient) -> LoggedModel:
    run = client.get_run(road[1]["levels"][-1]["finetune"]["run_id"])
    return client.get_logged_model(run.outputs.model_outputs[0].model_id)


def test_metrics_have_their_datasets(
    road: Road, client: MlflowClient, trained: LoggedModel
) -> None:
    found = {metric.key: metric for metric in trained.metrics}
    names = {key: metric.dataset_name for key, metric in found.items()}
    assert names["dev/accuracy"] == names["dense/accuracy"] == "demo-dev"
    assert names["on_selection/accuracy"] == "demo-selection"
    assert names["retention"] is names["steps"] is None
    finetune = road[1]["levels"][-1]["finetune"]
    assert found["dev/accuracy"].value == finetune["dev"]["accuracy"]
    inputs = client.get_run(finetune["run_id"]).inputs.dataset_inputs
    digests = {one.dataset.name: one.dataset.digest for one in inputs}
    assert found["dev/accuracy"].dataset_digest == digests["demo-dev"]


def test_models_have_the_names_of_their_runs(trained: LoggedModel) -> None:
    assert trained.name == "finetune demo 93_75"


def test_models_are_ordered_by_a_metric_on_a_dataset(
    road: Road, client: MlflowClient, trained: LoggedModel
) -> None:
    dev = {"dataset_name": "demo-dev"}
    order = {"field_name": "metrics.dev/accuracy", "ascending": False, **dev}
    models = client.search_logged_models(
        [trained.experiment_id],
        datasets=[dev],
        order_by=[order],
        filter_string="metrics.`dev/accuracy` > 0",
    )
    assert {level["finetune"]["run_id"] for level in road[1]["levels"]} <= {
        model.source_run_id for model in models
    }
    accuracies = [
        next(m.value for m in model.metrics if m.key == "dev/accuracy") for model in models
    ]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_classifier_has_a_confusion_matrix_and_curves(
    client: MlflowClient, trained: LoggedModel
) -> None:
    charts = {entry.path for entry in client.list_artifacts(trained.source_run_id, "charts")}
    assert {"charts/confusion.png", "charts/curves.png"} <= charts


def test_mlflow_evaluates_the_champion_as_the_page_says(road: Road, client: MlflowClient) -> None:
    """MLflow's accuracy on the rows it loads again is the one that the champion's `finetune` found."""
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?evaluate.*?)^```$", text, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=road[0],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version = client.get_model_version_by_alias("rpmask-demo", "champion")
    accuracy = client.get_run(version.run_id).data.metrics["dev/accuracy"]
    assert done.stdout.splitlines()[-1] == f"{accuracy} on demo-dev"
