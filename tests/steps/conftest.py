"""One short road, walked once, that the tests of this folder look at from all sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from commands import SMALL, answer
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("road")
    return folder, answer(["run", "--task", "demo", *SMALL], folder)


@pytest.fixture(scope="session")
def client(road: tuple[Path, dict[str, Any]]) -> MlflowClient:
    uri = f"sqlite:///{road[0]}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)
