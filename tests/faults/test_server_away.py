"""The tracking server dead, slow, failing, or away for a while: an answer or a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.commanding import run
from faults.conftest import Walked
from faults.forms import short_or_long
from faults.proxy import proxy_to
from mlflow import MlflowClient
from servers import Server, free_port

# The requests that are answered after two seconds: the first few, or all of them.
SLOW = short_or_long(range(1, 5), range(1, 10**6))
SAMPLE = ["sample", "--k", "2", "-s", "0.9", "--importance", "magnitude"]


@pytest.fixture(scope="module")
def server(fresh: Walked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes((fresh.folder / "mlflow.db").read_bytes())
    made = Server(folder, "sqlite:///mlflow.db", "--default-artifact-root", str(folder))
    made.start()
    try:
        made.wait()
        yield made
    finally:
        made.kill()


def test_dead_at_the_start(tmp_path: Path, longest: Callable[[str, float], None]) -> None:
    ended = run([*SAMPLE, "--tracking-uri", f"http://127.0.0.1:{free_port()}"], tmp_path)
    assert ended.code == 1
    assert "does not answer" in json.loads(ended.stdout)["error"]
    longest("a command whose server is dead at its start", ended.seconds)


def test_answers_500_at_the_start(server: Server, tmp_path: Path) -> None:
    with proxy_to(server.port) as (proxy, address):
        proxy.failing = range(1, 10**6)
        ended = run([*SAMPLE, "--tracking-uri", address], tmp_path)
    assert ended.code == 1
    assert "cannot be used" in json.loads(ended.stdout)["error"]
    assert proxy.requests <= 2  # nobody waits for retries at the start


@pytest.mark.parametrize("how", ["away", "failing", "slow"])
def test_away_for_a_while_nothing_is_lost(how: str, server: Server, tmp_path: Path) -> None:
    with proxy_to(server.port) as (proxy, address):
        setattr(proxy, how, SLOW if how == "slow" else range(12, 15))  # in the middle of the step
        ended = run(
            [*SAMPLE, "--experiment", how, "--tracking-uri", address, "--seed", "1"], tmp_path
        )
        assert ended.answer["k"] == 2
        assert how == "slow" or proxy.requests > 15
    found = MlflowClient(server.address).get_run(ended.answer["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.metrics["kept"] == ended.answer["candidates"][0]["kept"]


def test_gone_for_good_is_a_sentence_and_the_same_command_continues(
    server: Server, tmp_path: Path
) -> None:
    with proxy_to(server.port) as (proxy, address):
        command = [*SAMPLE, "--experiment", "gone", "--tracking-uri", address]
        proxy.away = range(12, 10**6)
        few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        ended = run(command, tmp_path, env=few)
        assert ended.code == 1
        assert "tracking store cannot be reached" in json.loads(ended.stdout)["error"]
        proxy.away = range(0)
        again = run(command, tmp_path)
    assert again.answer["k"] == 2
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("gone")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_killed_in_the_middle_and_started_again_nothing_is_lost(
    server: Server, tmp_path: Path
) -> None:
    with proxy_to(server.port) as (proxy, address):

        def kill_and_start() -> None:
            server.kill()
            server.start()

        proxy.before[14] = kill_and_start
        ended = run(
            [*SAMPLE, "--experiment", "killed", "--tracking-uri", address, "--seed", "1"], tmp_path
        )
        assert ended.answer["k"] == 2
        assert proxy.refused > 0
    found = MlflowClient(server.address).get_run(ended.answer["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.metrics["kept"] == ended.answer["candidates"][0]["kept"]
