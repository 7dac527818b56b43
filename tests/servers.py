"""A real `mlflow server`, and a PostgreSQL database under it, for the duration of a test."""

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

WAIT_SECONDS = 180  # for a server that never answers
NOBODY = "nobody"  # PostgreSQL refuses to run as root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real MLflow server that can be killed and started again; artifacts travel through it."""

    def __init__(
        self, folder: Path, store: str, *options: str, env: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._folder, self._log = folder, folder / "server.log"
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store),
            *(*where, *options),
        ]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # MLflow's job runners are ten more processes, which nothing here uses.
        no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._env = {**clean_environment(), "PATH": path, **no_jobs, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
                stdout=output,
                stderr=output,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(f"no answer: {self._log.read_text(errors='replace')[-2000:]}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it and its workers, and wait for the end."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        self._process.wait()


@contextmanager
def mlflow_server(
    folder: Path, store: str, *options: str, env: dict[str, str] | None = None
) -> Iterator[str]:
    """The address of a tracking server that answers."""
    server = Server(folder, store, *options, env=env)
    server.start()
    try:
        server.wait()
        yield server.address
    finally:
        server.kill(signal.SIGTERM)


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
