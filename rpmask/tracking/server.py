"""Connect to the tracking store, or report within a few seconds that it does not answer."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rpmask.errors import RpmaskError, RunFailed
from rpmask.logs import lower
from rpmask.tracking.locks import hold_lock

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"
MODEL_TRAINING = "workflowType=machine_learning"  # in an address of the UI
CONNECT_SECONDS = 3.0
AWAY = "INTERNAL_ERROR"  # the code of a request that failed, or whose answer is 500
DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


def chosen_uri(uri: str | None) -> str:
    """The store's address: as given, else MLFLOW_TRACKING_URI, else mlflow.db in this folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def store_exists(uri: str | None) -> bool:
    """Whether there may be something in the store; connecting to a SQLite file that is not there makes it."""
    path = _database(chosen_uri(uri))
    return path is None or _has_content(path)


def require_store(uri: str | None) -> None:
    """Refuse a SQLite store that does not exist, for a verb that needs what is in it."""
    if not store_exists(uri):
        raise RpmaskError(
            f"There is no tracking store at {chosen_uri(uri)}.",
            "Correct --tracking-uri or MLFLOW_TRACKING_URI, or go to the folder that holds mlflow.db; "
            "`rpmask sample` and `rpmask run` make a new store.",
        )


def connect(uri: str | None) -> str:
    """Point MLflow at the store. One process at a time creates a new database."""
    import mlflow
    from mlflow.exceptions import MlflowException

    from rpmask.tracking.signals import Client

    for name in ("mlflow", "alembic"):
        lower(name, logging.WARNING)
    # At the end of every run MLflow asks a server for the run and prints its address on stdout, which
    # belongs to the verb's result.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    uri = chosen_uri(uri)
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        _check_answers(
            uri, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        )
    mlflow.set_tracking_uri(uri)
    with hold_lock(f"initialise|{identity(uri)}"):
        try:
            path = _database(uri)
            if path is not None and path.parent.is_dir() and not _has_content(path):
                _create(path)
            with _short_timeout():
                Client().search_experiments(max_results=1)
        except (MlflowException, OSError) as error:
            raise _unusable(uri, error) from error
    return uri


def _unusable(uri: str, error: Exception) -> RpmaskError:
    code, first = getattr(error, "error_code", ""), str(error).splitlines()[0]
    if code in DENIED:
        return RpmaskError(
            f"The tracking server at {uri} wants a user and a password, or does not accept these.",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        )
    if code == AWAY and not uri.startswith(SQLITE):
        return RunFailed(
            f"The tracking store {uri} cannot be used: {first}",
            "Wait for it or start it, then give the same command again; or correct --tracking-uri.",
        )
    return RpmaskError(
        f"The tracking store {uri} cannot be used: {first}",
        "Give --tracking-uri (sqlite:///FILE or http://HOST:PORT), or leave it out.",
    )


@contextmanager
def _short_timeout() -> Iterator[None]:
    """Wait seconds for the first request; later ones may take the minutes of a restart."""
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update(patience)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _database(uri: str) -> Path | None:
    """The file of a SQLite store."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create(path: Path) -> None:
    """Create a database next to its place, and move it there when it is whole.

    MLflow creates its tables in many steps, and cannot continue after an interruption among them.
    """
    from rpmask.tracking.signals import Client

    # A whole path: MLflow keeps the stores that a process has opened by their addresses.
    made = path.resolve().with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    made.with_name(f"{made.name}-journal").unlink(missing_ok=True)
    Client(f"{SQLITE}{made}").search_experiments(max_results=1)
    made.rename(path)


def identity(uri: str) -> str:
    """The same text for every spelling of a SQLite file's path; names of locks contain it."""
    path = _database(uri)
    return uri if path is None else f"{SQLITE}{path.resolve()}"


def _check_answers(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunFailed(
            f"The tracking server at {uri} does not answer: {error}.",
            "Start it (`mlflow server`), correct --tracking-uri or MLFLOW_TRACKING_URI, or leave "
            "it out to use mlflow.db in this folder.",
        ) from error


def ui_page(uri: str, server: str, experiment: str) -> str:
    """The address of an experiment in the UI; MLflow would begin with its pages on GenAI."""
    from rpmask.tracking.signals import Client

    found = Client(uri).get_experiment_by_name(experiment)
    page = f"experiments/{found.experiment_id}/runs" if found else "experiments"
    return f"{server.rstrip('/')}/#/{page}?{MODEL_TRAINING}"


def serve_ui(uri: str | None, experiment: str, port: int, say: Callable[[str], None]) -> None:
    """Run MLflow's UI on 127.0.0.1 in the foreground, or name the server that has one."""
    uri = chosen_uri(uri)
    if urlsplit(uri).scheme in ("http", "https"):
        connect(uri)
        say(f"The tracking server has its own UI: {ui_page(uri, uri, experiment)}")
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RpmaskError(
                f"Port {port} of 127.0.0.1 is in use.", f"Try `rpmask ui --port {port + 1}`."
            )
    connect(uri)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    address = ui_page(uri, f"http://127.0.0.1:{port}", experiment)
    say(f"MLflow's UI: {address}  (ready in some seconds; Ctrl-C stops it)")
    # Without its job runner, for which MLflow would start ten more processes.
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    subprocess.run([*command, "--host", "127.0.0.1", "--port", str(port)], check=False, env=env)
