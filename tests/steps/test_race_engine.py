"""One race, wherever it is run and whatever is killed in the middle: the same rungs to the last bit."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import Running, answer

from rpmask.randomized_masks.race_worker import Leg, LegResult, RaceWorker
from rpmask.records import ScreenReport
from rpmask.steps import race_engine
from rpmask.steps.context import Context
from rpmask.steps.race_engine import deciding, race_threads
from rpmask.steps.requests import ScreenRequest
from rpmask.steps.screen import screen

REQUEST = ScreenRequest(budget=0.6, examples=60, threads=1)
AS_TYPED = ["--budget", "0.6", "--examples", "60", "--threads", "1"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("pool")
    rows = ["--train-rows", "256", "--selection-rows", "80", "--calibration-rows", "32"]
    return folder, answer(["sample", "--k", "4", *rows], folder)["run_id"]


def context(folder: Path, **rest: Any) -> Context:
    return Context(f"sqlite:///{folder}/mlflow.db", folder=folder / ".rpmask", **rest)


def raced(pool: tuple[Path, str], request: ScreenRequest, force: bool = True) -> ScreenReport:
    where = context(pool[0], force=force)
    run_id = screen(request, where, pool[1])["run_id"]
    return where.tracker.artifacts.record(run_id, "screen.json", ScreenReport)


@pytest.fixture(scope="module")
def undisturbed(pool: tuple[Path, str]) -> ScreenReport:
    return raced(pool, REQUEST)


def same(found: ScreenReport, expected: ScreenReport) -> None:
    """Every rung, score, digest of per-example losses and reason; not where it was computed.

    Each race teaches a study of its own.
    """
    at_home = {name: getattr(expected, name) for name in ("engine", "workers", "run_id", "study")}
    assert replace(found, **at_home).to_dict() == expected.to_dict()


def until(look: Callable[[], Any], seconds: float = 240.0) -> Any:
    """What a look finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def start_screen(folder: Path, *options: str) -> Running:
    return Running(["screen", "--json", *AS_TYPED, *options], folder)


def finished_rungs(folder: Path) -> set[tuple[int, int]]:
    """(candidate, rung) of every rung that a running race has finished."""
    names = [path.stem.split("-") for path in folder.glob(".rpmask/work/*/rungs/*.json")]
    return {(int(name[1]), int(name[3])) for name in names}


def test_two_workers_give_the_same_bits(pool: tuple[Path, str], undisturbed: ScreenReport) -> None:
    found = raced(pool, replace(REQUEST, workers=2))
    assert found.workers == 2
    same(found, undisturbed)


def test_killed_and_started_again(
    pool: tuple[Path, str], undisturbed: ScreenReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start_screen(pool[0], "--force", "--workers", "2").process
    until(lambda: len(finished_rungs(pool[0])) >= 3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished_rungs(pool[0])
    legs = []

    class Watched(RaceWorker):
        def __call__(self, leg: Leg) -> LegResult:
            legs.append((leg.candidate, leg.rung))
            return super().__call__(leg)

    monkeypatch.setattr(race_engine, "RaceWorker", Watched)
    where = context(pool[0], force=False)
    monkeypatch.setattr(where.tracker, "find", unfinished(where))
    run_id = screen(REQUEST, where, pool[1])["run_id"]
    found = where.tracker.artifacts.record(run_id, "screen.json", ScreenReport)
    same(found, undisturbed)
    every = {(c.index, score.rung) for c in (*found.candidates, *found.twins) for score in c.rungs}
    assert len(legs) == len(set(legs))
    assert set(legs) == every - before
    # Nobody is left behind to wait for items that never come.
    until(lambda: not any(child.is_running() for child in children))


def unfinished(where: Context) -> Callable[..., list[Any]]:
    """Only the run that was killed; the same race has finished before in this folder."""
    find = where.tracker.find
    return lambda **tags: [run for run in find(**tags) if run.info.status != "FINISHED"]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def at_work(raylet: int) -> bool:
    """Whether a worker of this node is at a leg; Ray names its processes after what they do."""
    return any(
        child.name().startswith("ray::_Worker.work") for child in psutil.Process(raylet).children()
    )


def test_ray_loses_a_node_and_no_bit(
    pool: tuple[Path, str], undisturbed: ScreenReport, cluster: Any
) -> None:
    second = cluster.list_all_nodes()[1]
    raylet = second.all_processes["raylet"][0].process.pid
    on_ray = ["--engine", "ray", "--address", cluster.address, "--workers", "2"]
    running = start_screen(pool[0], "--force", *on_ray)
    process = running.process
    until(lambda: process.poll() is not None or (finished_rungs(pool[0]) and at_work(raylet)))
    assert process.poll() is None, running.finish()
    cluster.remove_node(second, allow_graceful=False)
    done = running.finish(timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1  # Ray's messages are not among the results
    result = json.loads(done.stdout)
    found = context(pool[0]).tracker.artifacts.record(result["run_id"], "screen.json", ScreenReport)
    assert (found.engine, found.workers) == ("ray", 2)
    same(found, undisturbed)


@pytest.mark.slow
def test_ray_of_its_own_gives_the_same_bits(
    pool: tuple[Path, str], undisturbed: ScreenReport
) -> None:
    pytest.importorskip("ray")
    found = raced(pool, replace(REQUEST, engine="ray", workers=2))
    assert found.engine == "ray"
    same(found, undisturbed)


@pytest.mark.gpu
def test_candidates_share_a_device(pool: tuple[Path, str]) -> None:
    alone, shared = (raced(pool, replace(REQUEST, workers=n)) for n in (1, None))
    assert shared.workers > 1
    for one, other in zip(shared.candidates, alone.candidates, strict=True):
        # Sums on a device depend on the order in which its threads finish.
        assert one.rungs[0].loss == pytest.approx(other.rungs[0].loss, rel=1e-3)


def test_a_race_is_known_by_what_decides_it() -> None:
    here = ScreenRequest(threads=1)
    there = replace(here, engine="ray", address="auto", workers=7, cpus_per_candidate=0.5)
    assert deciding(here) == deciding(there)
    assert deciding(replace(there, gpus_per_candidate=0.5))["device"] == "cuda"
    assert deciding(here) != deciding(replace(here, threads=2))


@pytest.mark.parametrize(
    ("request_", "threads"),
    [
        (ScreenRequest(threads=3, workers=2), 3),
        (ScreenRequest(engine="ray"), 1),
        (ScreenRequest(engine="ray", cpus_per_candidate=4), 4),
        (ScreenRequest(engine="ray", cpus_per_candidate=0.5), 1),
        (ScreenRequest(workers=1000), 1),
    ],
)
def test_threads_of_a_candidate(request_: ScreenRequest, threads: int) -> None:
    assert race_threads(request_) == threads
    assert race_threads(ScreenRequest()) == len(os.sched_getaffinity(0))
