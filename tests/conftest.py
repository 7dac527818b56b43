"""Tests run offline, on the CPU, and leave the user's folders alone; one short pipeline is run for all.

With RPMASK_TEST_GPU=1 they see the devices, for `pytest -m gpu`.
"""

from __future__ import annotations

import gc
import multiprocessing
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
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # commands would compile the package each time


# The files that take longest, longest first: started last, one of them leaves the other processes idle.
LONGEST = (
    *("docs/test_commands.py", "steps/test_export_step.py", "faults/test_killed.py"),
    *("faults/test_stopped.py", "steps/test_jackpot_step.py", "faults/test_together.py"),
    *("steps/test_paper_model.py", "steps/test_tune.py", "steps/test_race_engine.py"),
    *("steps/test_torchrun.py", "faults/test_damaged.py", "steps/test_run_step.py"),
    *("steps/test_paper_run.py", "steps/test_refitting.py", "faults/test_places.py"),
    *("faults/test_server_away.py", "docs/test_project.py", "test_old_store.py"),
    *(
        "docs/test_python_pages.py",
        "train/test_trainer.py",
        "docs/test_wheel.py",
        "steps/test_planning.py",
    ),
)


def pytest_collection_finish() -> None:
    """Keep the imported modules out of garbage collections: each training ends with a full one.

    Worker processes are forked from a server that a process starts once: it imports what races need.
    """
    from rpmask.steps.race_engine import IMPORTED_BY_WORKERS

    multiprocessing.set_forkserver_preload(["__main__", *IMPORTED_BY_WORKERS])
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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
