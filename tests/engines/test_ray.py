"""The Ray engine on a real cluster of two nodes, and what it says when there is none to be had."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from workers import (
    CannotBeBuilt,
    DiesOfOne,
    DiesOnce,
    Double,
    ReadsMasks,
    Refuses,
    Shares,
    Summed,
    Sums,
    Turn,
    Waits,
)

from rpmask.errors import RpmaskError, RunFailed, install_hint
from rpmask.masks.mask import Mask
from rpmask.steps.race_engine import warmed_up
from rpmask.steps.requests import ScreenRequest

ray = pytest.importorskip("ray")

from rpmask.engines.ray import RayCluster, Share, Stored, start_actors  # noqa: E402
from rpmask.engines.ray_connection import joined  # noqa: E402


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node with one CPU; further nodes come and go."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:  # the nodes find the workers of this folder
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        head = {"num_cpus": 1, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


def engine(factory: Any, most: int = 2, cpus: float = 0.5, **rest: Any) -> RayCluster[Any, Any]:
    return RayCluster(factory, share=Share(cpus), most=most, **rest)


def test_every_item_once_and_workers_share_a_cpu(cluster: Any) -> None:
    pool = engine(Double, most=8)
    assert pool.workers == 2  # half of the one CPU each
    assert sorted(pool.map(iter(range(6)))) == [0, 2, 4, 6, 8, 10]
    assert list(pool.map([])) == []
    pool.close()


def test_early_actors_are_used_and_those_too_many_are_given_back(cluster: Any) -> None:
    early = start_actors(Share(0.5), None, ["json"])
    assert len(early) == 2  # as many as the one CPU holds
    pool = engine(Double, most=1, early=early)
    assert list(pool.map([1, 2])) == [2, 4]
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(early[1].answer.remote(), timeout=60)
    assert ray.get(early[0].answer.remote(), timeout=60) is None  # it did the work
    pool.close()


def test_what_workers_are_built_from_is_in_the_store_once(cluster: Any) -> None:
    pool = engine(partial(Shares, np.arange(100_000.0)))
    assert list(pool.map([5, 7])) == [True, True]
    pool.close()


def test_a_mask_is_stored_once_and_proved_where_it_arrives(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = np.random.default_rng(0).random((1000, 2000)) < 0.1
    masks = [Mask.from_bools({"0.weight": keep}), Mask.from_bools({"0.weight": ~keep})]
    puts = []
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda value: puts.append(value) or put(value))
    pool = engine(partial(ReadsMasks, Stored(masks)))
    found = list(pool.map([0, 1, 0, 1, 0, 1]))
    pool.close()
    assert sorted(found) == sorted(3 * [(mask.digest, True) for mask in masks])
    assert [value for value in puts if isinstance(value, Mask)] == masks


def test_the_item_of_a_killed_worker_is_given_out_again(cluster: Any, tmp_path: Path) -> None:
    pool = engine(partial(DiesOnce, tmp_path))
    assert sorted(pool.map(range(5))) == [0, 2, 4, 6, 8]
    assert (tmp_path / "died").exists()
    pool.close()


def test_an_item_that_kills_every_worker_ends_the_work(cluster: Any) -> None:
    pool = engine(DiesOfOne)
    with pytest.raises(RunFailed, match="4 workers died of the same candidate"):
        list(pool.map([1]))
    pool.close()


@pytest.mark.parametrize(("factory", "says"), [(Refuses, "doubled"), (CannotBeBuilt, "no worker")])
def test_an_error_arrives_whole(factory: Any, says: str, cluster: Any) -> None:
    pool = engine(factory)
    with pytest.raises(RpmaskError, match=says) as caught:
        list(pool.map([1]))
    assert caught.value.hint.startswith("Try another")
    pool.close()


def until(found: Any, seconds: float = 120.0) -> Any:
    """What a look finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (seen := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


def test_a_killed_node_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1)
    pool = engine(partial(Waits, tmp_path), most=2, cpus=1)
    assert pool.workers == 2
    results = pool.map(range(4))
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(results))
    reader.start()
    begun = until(lambda: list(tmp_path.glob(f"*-{second.node_id}-*")))
    cluster.remove_node(second, allow_graceful=False)
    until(lambda: not psutil.pid_exists(int(begun[0].name.split("-")[-1])))
    (tmp_path / "go").touch()
    reader.join(120)
    assert sorted(found) == [0, 2, 4, 6]
    assert len(list(tmp_path.glob("*-*-*"))) == 5  # one of the four was begun twice
    pool.close()


def test_what_is_kept_stays_on_its_node_and_an_item_goes_on_without_it(cluster: Any) -> None:
    second = cluster.add_node(num_cpus=1)
    pool = engine(Sums, most=2, cpus=1, kept="total")
    found = list(pool.map([Turn(i) for i in range(8)]))
    assert all(isinstance(each.total, ray.ObjectRef) for each in found)

    def go_on() -> tuple[list[Summed], list[Summed]]:
        more = list(pool.map([Turn(10, each.total) for each in found]))
        assert sorted(each.began_with for each in more) == list(range(8))
        there = [each for each in more if each.node == second.node_id]
        return (more, there) if there else ()  # its actor may still be starting

    more, there = until(go_on)
    cluster.remove_node(second, allow_graceful=False)
    last = list(pool.map([Turn(1, each.total) for each in more]))
    lost = [each for each in last if each.began_with == 0.0]
    assert len(last) == 8
    assert len(lost) == len(there) > 0
    kept = [each for each in last if each not in lost]
    assert sorted(each.began_with - 10 for each in kept) == sorted(
        each.began_with for each in more if each not in there
    )
    pool.close()


def test_resources_that_no_node_has(cluster: Any) -> None:
    with pytest.raises(RpmaskError, match="takes 64 CPU and 1 GPU") as caught:
        RayCluster(Double, share=Share(64, 1), most=2)
    assert "1 CPU and 0 GPU" in caught.value.message


@pytest.mark.parametrize(
    ("cpus", "gpus", "node", "room"),
    [
        (1, 0, {"CPU": 4.0}, 4),
        (0.1, 0, {"CPU": 1.0}, 10),
        (1, 0.25, {"CPU": 16.0, "GPU": 1.0}, 4),
        (1, 0.3, {"CPU": 16.0, "GPU": 1.0}, 3),
        (1, 1, {"CPU": 16.0}, 0),
    ],
)
def test_room_on_a_node(cpus: float, gpus: float, node: dict[str, float], room: int) -> None:
    assert Share(cpus, gpus).room(node) == room


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(RpmaskError, match=r"Nothing answers at the Ray address '127.0.0.1:9'"):
        joined("127.0.0.1:9").__enter__()


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rpmask.engines.ray", None)
    monkeypatch.delattr("rpmask.engines.ray", raising=False)
    with (
        pytest.raises(RpmaskError, match="needs Ray") as caught,
        warmed_up(ScreenRequest(engine="ray")) as warm,
    ):
        warm()
    assert install_hint("ray") in caught.value.hint
