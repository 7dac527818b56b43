"""A run on real tracking servers: SQLite, PostgreSQL, authentication, artifacts through the server."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, answer, rpmask
from servers import mlflow_server, postgresql

pytestmark = pytest.mark.slow
SHORT = [*SMALL, "--levels", "0.9"]
Store = Callable[[Path], AbstractContextManager[str]]


def sqlite(folder: Path) -> AbstractContextManager[str]:
    return nullcontext(f"sqlite:///{folder}/server.db")


def postgres(folder: Path) -> AbstractContextManager[str]:
    return postgresql()


@pytest.mark.parametrize("store", [sqlite, postgres])
def test_a_run_on_a_server(store: Store, tmp_path: Path) -> None:
    there, here = tmp_path / "server", tmp_path / "client"
    there.mkdir()
    here.mkdir()
    proxied = ["--artifacts-destination", str(there / "artifacts")]
    with store(there) as database, mlflow_server(there, database, *proxied) as address:
        env = {"MLFLOW_TRACKING_URI": address}
        first = answer(["run", "--task", "demo", *SHORT], here, env)
        assert first["champion"]["name"] == "rpmask-demo"
        again = answer(["run", "--task", "demo", *SHORT], here, env)
        assert again["reused"]
        board = answer(["report"], here, env)
        assert board["runs"] == 1
        # Everything travelled through the server: nothing of it lies with the client.
        assert not (here / "mlruns").exists()
        assert not (here / "mlflow.db").exists()
        assert list((there / "artifacts").rglob("race.png"))
        assert list((there / "artifacts").rglob("report.html"))
        # Another machine, which has none of the files: continue from the registry.
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        train = ["finetune", "--from", "models:/rpmask-demo@selected", "--threads", "1"]
        trained = answer([*train, "--set", "max_steps=2"], elsewhere, env)
        assert trained["steps"] == 2


def test_a_server_that_wants_a_password(tmp_path: Path) -> None:
    there, here = tmp_path / "server", tmp_path / "client"
    there.mkdir()
    here.mkdir()
    password = secrets.token_hex(8)
    settings = there / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{there}/auth.db\n"
        f"admin_username = keeper\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
    }
    options = ["--artifacts-destination", str(there / "artifacts"), "--app-name", "basic-auth"]
    sample = ["sample", "--k", "2"]
    with mlflow_server(there, f"sqlite:///{there}/server.db", *options, env=env) as address:
        given: dict[str, Any] = {"MLFLOW_TRACKING_URI": address}
        refused = rpmask([*sample, "--json"], here, given)
        assert refused.returncode == 2
        said = json.loads(refused.stdout)
        assert "wants a user and a password" in said["error"]
        assert "MLFLOW_TRACKING_USERNAME" in said["hint"]
        named = {**given, "MLFLOW_TRACKING_USERNAME": "keeper"}
        wrong = rpmask([*sample, "--json"], here, {**named, "MLFLOW_TRACKING_PASSWORD": "no"})
        assert wrong.returncode == 2
        pool = answer(sample, here, {**named, "MLFLOW_TRACKING_PASSWORD": password})
        assert pool["k"] == 2
