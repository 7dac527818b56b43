"""A real `mlflow server` for the time of a test, and a database under it where one is wanted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import clean_environment

WAIT_SECONDS = 180  # for a server that never comes; one that comes is seen at once
NOBODY = "nobody"  # PostgreSQL refuses to run as root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(
    folder: Path, store: str, *options: str, env: dict[str, str] | None = None
) -> Iterator[str]:
    """The address of a tracking server that answers; artifacts travel through it."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--workers", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, *where, *options],
            cwd=folder,
            # Without the ten processes of MLflow's job runners, which nothing here asks for.
            env={
                **clean_environment(),
                "PATH": path,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **(env or {}),
            },
            start_new_session=True,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(f"{address}/health", server, log)
        yield address
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def postgresql() -> Iterator[str]:
    """A fresh PostgreSQL on a port of its own; skips where Debian's is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not in pytest's folder, which is its owner's alone.
    data, port = Path(tempfile.mkdtemp(prefix="rpmask-postgres-")), free_port()
    prefix: list[str] = []
    if os.getuid() == 0:
        shutil.chown(data, NOBODY)
        prefix = ["runuser", "-u", NOBODY, "--"]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*prefix, str(programs[-1] / program), *arguments],
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
        )

    try:
        run("initdb", "-D", str(data), "-U", "rpmask", "--auth=trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-l", str(data / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://rpmask@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data)
