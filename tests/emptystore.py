"""New SQLite stores from a template: MLflow's migrations take a second of every first command."""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.store.db import utils
from sqlalchemy import Engine, create_engine

_migrate = utils._initialize_tables


@cache
def _template() -> bytes:
    """A database with MLflow's tables and no row but the schema's version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        engine = create_engine(f"sqlite:///{path}")
        _migrate(engine)
        engine.dispose()
        return path.read_bytes()


def _initialize_tables(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        _migrate(engine)
        return
    template = sqlite3.connect(":memory:")
    template.deserialize(_template())
    connection: Any = engine.raw_connection()
    template.backup(connection.driver_connection)
    connection.close()
    template.close()


def use_template() -> None:
    """From here on, copy the template where MLflow would make the tables of a new SQLite store."""
    _template()
    utils._initialize_tables = _initialize_tables


def use_migrations() -> None:
    """From here on, make the tables as MLflow does."""
    utils._initialize_tables = _migrate
