"""Reach the tracking server, or say within a few seconds that it does not answer."""

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

import mlflow

from rpmask.errors import RpmaskError, RunFailed
from rpmask.logs import lower
from rpmask.tracking.client import Client
from rpmask.tracking.locks import hold_lock

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"
CONNECT_SECONDS = 3.0
AWAY = "INTERNAL_ERROR"  # of a request that failed, or whose answer is 500
UNKNOWN_TO_IT = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


def connect(uri: str | None) -> str:
    """Point MLflow at the server; a fresh database is initialised by one process at a time."""
    for name in ("mlflow", "alembic"):
        lower(name, logging.WARNING)
    # For every run that ends MLflow asks a server for it and writes its address to stdout, which
    # belongs to a verb's result.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        _probe(uri, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    mlflow.set_tracking_uri(uri)
    with hold_lock(f"initialise|{identity(uri)}"):
        try:
            _make_whole(uri)
            with _impatient():
                Client().search_experiments(max_results=1)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            if getattr(error, "error_code", "") in UNKNOWN_TO_IT:
                raise RpmaskError(
                    f"The tracking server at {uri} wants a user and a password, or other ones.",
                    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                    "MLFLOW_TRACKING_TOKEN.",
                ) from error
            first = str(error).splitlines()[0]
            if not uri.startswith(SQLITE) and getattr(error, "error_code", "") == AWAY:
                raise RunFailed(
                    f"The tracking store {uri} cannot be used: {first}",
                    "Wait for it or start it, then give the same command again; or correct --tracking-uri.",
                ) from error
            raise RpmaskError(
                f"The tracking store {uri} cannot be used: {first}",
                "Give --tracking-uri (sqlite:///FILE or http://HOST:PORT), or leave it out.",
            ) from error
    return uri


@contextmanager
def _impatient() -> Iterator[None]:
    """The first request waits for seconds; later ones for the minutes that a restart may take."""
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


def _make_whole(uri: str) -> None:
    """Make a SQLite database that is not there yet: beside its place, and moved there when it is whole.

    MLflow makes its tables in many steps, and one that was stopped among them can never go on.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.parent.is_dir():
        return
    if path.exists() and path.stat().st_size:
        return
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    made.with_name(f"{made.name}-journal").unlink(missing_ok=True)
    Client(f"{SQLITE}{made}").search_experiments(max_results=1)
    made.rename(path)


def identity(uri: str) -> str:
    """The same for two spellings of the same SQLite file; for locks."""
    path = uri.removeprefix(SQLITE)
    return uri if path == uri else f"{SQLITE}{Path(path).resolve()}"


def _probe(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunFailed(
            f"The tracking server at {uri} does not answer: {error}.",
            "Start it (`mlflow server`), correct --tracking-uri or MLFLOW_TRACKING_URI, or leave "
            "it out to use mlflow.db in this folder.",
        ) from error


def serve_ui(uri: str | None, port: int, say: Callable[[str], None]) -> None:
    """Run MLflow's own UI on 127.0.0.1 in the foreground, or name the server that has one."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if urlsplit(uri).scheme in ("http", "https"):
        say(f"The tracking server has its own UI: {uri}")
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RpmaskError(
                f"Port {port} of 127.0.0.1 is in use.", f"Try `rpmask ui --port {port + 1}`."
            )
    connect(uri)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    say(f"MLflow's UI: http://127.0.0.1:{port}  (Ctrl-C stops it)")
    # The UI alone: MLflow would start ten more processes for jobs that nothing here asks for.
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    subprocess.run([*command, "--host", "127.0.0.1", "--port", str(port)], check=False, env=env)
