"""Tests run offline, on the CPU, and leave the user's folders alone; one short pipeline is run for all.

With RPMASK_TEST_GPU=1 they see the devices, for `pytest -m gpu`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as a command sets it; torch comes later
if os.environ.get("RPMASK_TEST_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("MLFLOW_RUN_ID", None)


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A store with one short pipeline, run once, that tests read and add to."""
    from commands import SMALL, answer
    from folders import made_once

    return made_once(
        tmp_path_factory,
        "road",
        lambda folder: answer(["run", "--task", "demo", *SMALL], folder),
    )


@pytest.fixture
def client(road: tuple[Path, dict[str, Any]]) -> Any:
    """MLflow's client of that store."""
    import mlflow

    uri = f"sqlite:///{road[0]}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


@pytest.fixture(scope="session")
def store_template() -> None:
    """New SQLite stores of this process are copies of a template."""
    from emptystore import use_template

    use_template()
