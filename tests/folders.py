"""Folders that hold a store: copied, and made once for all processes of a test session."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Where MLflow keeps absolute paths of artifacts.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def relocate(folder: Path, before: Path | str) -> Path:
    """Correct the absolute paths in the database of a folder that was at another place before."""
    with sqlite3.connect(folder / "mlflow.db") as base:
        for table, column in PLACES:
            base.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",
                (str(before), str(folder)),
            )
    return folder


def copied(source: Path, target: Path) -> Path:
    """Copy a folder and correct the absolute paths in the copy's database."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return relocate(target, source)


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]
) -> tuple[Path, Any]:
    """A copy of a folder that the first process of the session made, and what `make` returned as JSON."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    made, result = root / f"made-{name}", root / f"made-{name}.json"
    with (root / f"made-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(made, ignore_errors=True)  # an attempt may have failed
            made.mkdir()
            result.write_text(json.dumps(make(made)))
    return copied(made, factory.mktemp(name)), json.loads(result.read_text())
