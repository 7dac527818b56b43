"""Absence and an outage are told apart: an outage removes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from servers import free_port
from test_points import KEY

from rpmask.cli.environment_errors import as_user_error
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.results import FinetuneResult
from rpmask.steps import finetune as step
from rpmask.steps.requests import FinetuneRequest
from rpmask.steps.resolve import Resolved
from rpmask.tracking import register_model, registry
from rpmask.tracking.artifacts import ArtifactStore
from rpmask.tracking.open_run import open_run
from rpmask.tracking.registry import champion_runs
from rpmask.tracking.signals import Client
from rpmask.tracking.tracker import Tracker

NO_RUN = "0" * 32
ASKED: dict[str, Callable[[Any], Any]] = {
    "champion": lambda tracker: registry.champion(tracker, "rte"),
    "its address": lambda tracker: registry.champion_address(tracker, "rte"),
    "champions": lambda tracker: champion_runs(tracker, {"rte"}),
    "a version": lambda tracker: registry.run_of(tracker, "models:/rpmask-rte/1"),
    "an alias": lambda tracker: registry.pin(tracker, "models:/rpmask-rte@champion"),
    "a model": lambda tracker: registry.fetch(tracker, "models:/rpmask-rte@champion"),
    "a logged model": lambda tracker: registry.fetch(tracker, "models:/m-1"),
    "a run's step": lambda tracker: Tracker.step_name(tracker, NO_RUN),
    "an artifact": lambda tracker: tracker.artifacts.path(NO_RUN, "pool.json"),
}


class Page(BaseHTTPRequestHandler):
    """What a proxy answers when the server it stands for is away."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"404 page not found")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy_page() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["dead", "proxy"])
def away(
    request: pytest.FixtureRequest,
    proxy_page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A tracker whose server is not there."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = proxy_page if request.param == "proxy" else f"http://127.0.0.1:{free_port()}"
    client = Client(uri, registry_uri=uri)
    return SimpleNamespace(
        client=client, uri=uri, folder=tmp_path, artifacts=ArtifactStore(client, tmp_path)
    )


@pytest.fixture
def here(tmp_path: Path) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", "there", folder=tmp_path / ".rpmask")


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_an_outage_is_an_outage(asked: Callable[[Any], Any], away: Any) -> None:
    with pytest.raises(MlflowException) as raised:
        asked(away)
    said = as_user_error(raised.value)
    assert said is not None
    assert said.exit_code == 1
    assert "tracking store cannot be reached" in said.message
    assert "continues where it stopped" in said.hint


@pytest.mark.parametrize("model", [False, True], ids=["no model", "no alias"])
def test_absence_is_absence(here: Tracker, model: bool) -> None:
    if model:
        here.client.create_registered_model("rpmask-rte")
    assert registry.champion(here, "rte") is None
    assert registry.champion_address(here, "rte") is None
    assert champion_runs(here, {"rte"}) == set()
    for name in ("a version", "an alias", "a model", "a logged model"):
        with pytest.raises(RpmaskError, match="There is no model") as raised:
            ASKED[name](here)
        assert raised.value.exit_code == 2
    for wrong in ("models:/rpmask-rte", "models:/rpmask-rte/one", f"models:/rpmask-rte/{10**30}"):
        with pytest.raises(RpmaskError, match="There is no model"):
            registry.run_of(here, wrong)
    for run_id in (NO_RUN, "a'b"):
        with pytest.raises(RpmaskError, match="There is no run"):
            here.step_name(run_id)
        with pytest.raises(RpmaskError, match="has no artifact"):
            here.artifacts.path(run_id, "pool.json")


def test_an_outage_does_not_dethrone_the_champion(
    away: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is registered when nobody can say whom the new model would have to beat."""
    given: list[Any] = []
    monkeypatch.setattr(register_model, "register", lambda *_, **named: given.append(named))
    found = Resolved("rte", "m", "m", 1, 0.5, DataChoice(), mask_digest="d")
    result = FinetuneResult(
        selection_run_id=None,
        task="rte",
        model="m",
        teacher="m",
        level=1,
        sparsity=0.5,
        mask_digest="d",
        dense={"accuracy": 0.9},
        dev={"accuracy": 0.1},
        majority={"accuracy": 0.5},
        primary="accuracy",
        retention=0.1,
        best_step=1,
        steps=1,
        nonzero=1,
        data=DataChoice(),
        run_id="r",
        versions={},
    )
    run: Any = SimpleNamespace(tracker=away, run_id="r")
    prepared: Any = SimpleNamespace(tokenizer=None, spec=None)
    with pytest.raises(MlflowException):
        step._register(FinetuneRequest(), run, found, prepared, result, None)  # type: ignore[arg-type]
    assert given == []


def test_artifacts_that_cannot_be_fetched_are_not_deleted(
    here: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is known, and the server that keeps its files is away."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"http://127.0.0.1:{free_port()}/api/2.0/mlflow-artifacts/artifacts"
    experiment = here.client.create_experiment("far", artifact_location=address)
    run_id = here.client.create_run(experiment).info.run_id
    with pytest.raises(Exception, match="Connection refused") as raised:
        here.artifacts.path(run_id, "pool.json")
    said = as_user_error(raised.value)
    assert said is not None
    assert said.exit_code == 1
    assert "cannot be reached" in said.message


def test_an_artifact_that_was_deleted_is_absent(here: Tracker) -> None:
    with open_run(here, KEY) as run:
        run.log_json("pool.json", {})
        run.finish({}, "")
    path = here.artifacts.path(run.run_id, "pool.json")
    path.unlink()
    with pytest.raises(RpmaskError, match=r"has no artifact 'pool\.json'"):
        here.artifacts.path(run.run_id, "pool.json")


NAMES = ["a'b", "it's", 'say "no"', "a'b\"c", "a\\", "it\\'s", "a`b", "a%b", "a b"]


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_into_a_filter_is_quoted(here: Tracker, name: str) -> None:
    for task in (name, "axb", "axbxc", "ax", "itxs", "itxxs"):
        tags = {"rpmask.step": "sample", "rpmask.task": task}
        made = here.client.create_run(here.experiment_id, tags=tags).info.run_id
        here.client.set_terminated(made, "FINISHED")
        if task == name:
            run_id = made
    assert [run.info.run_id for run in here.find(step="sample", task=name)] == [run_id]
    assert here.latest("sample", name) == run_id
    with pytest.raises(RpmaskError, match="There is no finished `screen`"):
        here.latest("screen", name)


def test_a_task_with_a_quote_is_on_the_leaderboard(here: Tracker) -> None:
    from rpmask.tracking.facts import finished_steps

    for task in ("a'b\"c", "axbxc"):
        tags = {"rpmask.step": "finetune", "rpmask.task": task}
        run_id = here.client.create_run(here.experiment_id, tags=tags).info.run_id
        here.client.set_terminated(run_id, "FINISHED")
    assert [facts.task for facts in finished_steps(here, "a'b\"c").values()] == ["a'b\"c"]


def test_a_model_with_a_quote_is_found_by_its_run(here: Tracker) -> None:
    for name in ("rpmask-a'b\"c", "rpmask-axbxc"):
        here.client.create_registered_model(name)
        here.client.create_model_version(name, "s", run_id=NO_RUN)
    run: Any = SimpleNamespace(tracker=here, run_id=NO_RUN, resumed=True)
    assert register_model._registered_before(run, "rpmask-a'b\"c") == "1"
    assert register_model._registered_before(run, "rpmask-it's") is None
