"""The tracking server dead, slow, failing, or away for a while: an answer or a clear error."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import clean_environment
from faults.commanding import Nursery
from faults.conftest import Walked
from faults.proxy import proxy_to
from mlflow import MlflowClient

SAMPLE = ["sample", "--k", "2", "-s", "0.9", "--importance", "magnitude"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real MLflow server, alone in its folder, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        stores = [
            *("--backend-store-uri", "sqlite:///mlflow.db"),
            *("--default-artifact-root", str(self._folder)),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *where, *stores],
            cwd=self._folder,
            env=clean_environment(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Until it answers."""
        assert self._process is not None
        for _ in range(600):
            assert self._process.poll() is None, "the server stopped"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).read()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """SIGKILL, to it and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def server(fresh: Walked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes((fresh.folder / "mlflow.db").read_bytes())
    made = Server(folder)
    made.start()
    try:
        made.wait()
        yield made
    finally:
        made.kill()


def test_dead_at_the_start(
    nursery: Nursery, tmp_path: Path, longest: Callable[[str, float], None]
) -> None:
    ended = nursery.run([*SAMPLE, "--tracking-uri", f"http://127.0.0.1:{free_port()}"], tmp_path)
    assert ended.code == 1
    assert "does not answer" in json.loads(ended.stdout)["error"]
    longest("a command whose server is dead at its start", ended.seconds)


def test_answers_500_at_the_start(server: Server, nursery: Nursery, tmp_path: Path) -> None:
    with proxy_to(server.port) as (proxy, address):
        proxy.failing = range(1, 10**6)
        ended = nursery.run([*SAMPLE, "--tracking-uri", address], tmp_path)
    assert ended.code == 1
    assert "cannot be used" in json.loads(ended.stdout)["error"]
    assert proxy.requests <= 2  # nobody waits for retries at the start


@pytest.mark.parametrize("how", ["away", "failing", "slow"])
def test_away_for_a_while_nothing_is_lost(
    how: str, server: Server, nursery: Nursery, tmp_path: Path
) -> None:
    with proxy_to(server.port) as (proxy, address):
        if how == "slow":
            proxy.delay = 2.0
        else:
            setattr(proxy, how, range(12, 15))  # in the middle of the step
        ended = nursery.run(
            [*SAMPLE, "--experiment", how, "--tracking-uri", address, "--seed", "1"], tmp_path
        )
        assert ended.answer["k"] == 2
        assert how == "slow" or proxy.requests > 15
    run = MlflowClient(f"http://127.0.0.1:{server.port}").get_run(ended.answer["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["kept"] == ended.answer["candidates"][0]["kept"]


def test_gone_for_good_is_a_sentence_and_the_same_command_continues(
    server: Server, nursery: Nursery, tmp_path: Path
) -> None:
    with proxy_to(server.port) as (proxy, address):
        command = [*SAMPLE, "--experiment", "gone", "--tracking-uri", address]
        proxy.away = range(12, 10**6)
        few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        ended = nursery.run(command, tmp_path, env=few)
        assert ended.code == 1
        assert "tracking store cannot be reached" in json.loads(ended.stdout)["error"]
        proxy.away = range(0)
        again = nursery.run(command, tmp_path)
    assert again.answer["k"] == 2
    client = MlflowClient(f"http://127.0.0.1:{server.port}")
    experiment = client.get_experiment_by_name("gone")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_killed_in_the_middle_and_started_again_nothing_is_lost(
    server: Server, nursery: Nursery, tmp_path: Path
) -> None:
    with proxy_to(server.port) as (proxy, address):

        def kill_and_start() -> None:
            server.kill()
            server.start()

        proxy.before[14] = kill_and_start
        ended = nursery.run(
            [*SAMPLE, "--experiment", "killed", "--tracking-uri", address, "--seed", "1"], tmp_path
        )
        assert ended.answer["k"] == 2
        assert proxy.refused > 0
    run = MlflowClient(f"http://127.0.0.1:{server.port}").get_run(ended.answer["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["kept"] == ended.answer["candidates"][0]["kept"]
