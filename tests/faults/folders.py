"""Copies of a folder that runs were made in: MLflow notes artifacts by absolute paths."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def copied(source: Path, target: Path) -> Path:
    """All of a folder in another one, with a database that says so."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    with sqlite3.connect(target / "mlflow.db") as base:
        for table, column in PLACES:
            base.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",
                (str(source), str(target)),
            )
    return target
