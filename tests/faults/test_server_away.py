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
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def server(fresh: Walked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real MLflow server, alone in its folder."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    (folder / "mlflow.db").write_bytes((fresh.folder / "mlflow.db").read_bytes())
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    stores = ["--backend-store-uri", "sqlite:///mlflow.db", "--default-artifact-root", str(folder)]
    process = subprocess.Popen(
        [*command, *stores, "--workers", "1"],
        cwd=folder,
        env=clean_environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            assert process.poll() is None, "the server stopped"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_dead_at_the_start(nursery: Nursery, tmp_path: Path) -> None:
    ended = nursery.run([*SAMPLE, "--tracking-uri", f"http://127.0.0.1:{free_port()}"], tmp_path)
    assert ended.code == 1
    assert "does not answer" in json.loads(ended.stdout)["error"]


def test_answers_500_at_the_start(server: int, nursery: Nursery, tmp_path: Path) -> None:
    with proxy_to(server) as (proxy, address):
        proxy.failing = range(1, 10**6)
        ended = nursery.run([*SAMPLE, "--tracking-uri", address], tmp_path)
    assert ended.code == 2
    assert "cannot be used" in json.loads(ended.stdout)["error"]
    assert proxy.requests <= 2  # nobody waits for retries at the start


@pytest.mark.parametrize("how", ["away", "failing", "slow"])
def test_away_for_a_while_nothing_is_lost(
    how: str, server: int, nursery: Nursery, tmp_path: Path
) -> None:
    with proxy_to(server) as (proxy, address):
        if how == "slow":
            proxy.delay = 2.0
        else:
            setattr(proxy, how, range(12, 15))  # in the middle of the step
        ended = nursery.run(
            [*SAMPLE, "--experiment", how, "--tracking-uri", address, "--seed", "1"], tmp_path
        )
        assert ended.answer["k"] == 2
        assert how == "slow" or proxy.requests > 15
    run = MlflowClient(f"http://127.0.0.1:{server}").get_run(ended.answer["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["kept"] == ended.answer["candidates"][0]["kept"]


def test_gone_for_good_is_a_sentence_and_the_same_command_continues(
    server: int, nursery: Nursery, tmp_path: Path
) -> None:
    with proxy_to(server) as (proxy, address):
        command = [*SAMPLE, "--experiment", "gone", "--tracking-uri", address]
        proxy.away = range(12, 10**6)
        few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        ended = nursery.run(command, tmp_path, env=few)
        assert ended.code == 1
        assert "tracking store" in json.loads(ended.stdout)["error"]
        proxy.away = range(0)
        again = nursery.run(command, tmp_path)
    assert again.answer["k"] == 2
    client = MlflowClient(f"http://127.0.0.1:{server}")
    experiment = client.get_experiment_by_name("gone")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
