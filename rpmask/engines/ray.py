"""The engine on a Ray cluster: a worker is an actor, and any node that has room holds some.

What a worker is built from goes to Ray's object store once, and from there once to each node. To other
machines rpmask itself travels too, so that every node runs the code of the one that the work is started
on. Actors are created as resources allow; one that is lost, with its process or its node, is replaced, and
its item is given out again. What is finished lies with the caller: nothing of it is in the cluster.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Generic

import ray
from ray import exceptions

import rpmask
from rpmask.engines.engine import LOSSES_ALLOWED, Given, Handout, Item, Result, WorkerFactory
from rpmask.errors import RpmaskError, RunFailed

CONNECT_SECONDS = 3.0
# How long a cluster without a usable node is given to get one, and how often we look for new ones.
PATIENCE_SECONDS = 60.0
LOST = (
    exceptions.RayActorError,
    exceptions.ObjectLostError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.LocalRayletDiedError,
)


@dataclass(frozen=True)
class Share:
    """What one worker takes of a node; fractions are allowed."""

    cpus: float = 1.0
    gpus: float = 0.0

    def room(self, resources: dict[str, float]) -> int:
        """How many workers a node with these resources holds."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        return min(
            int(resources.get(name, 0.0) / each + 1e-6) for name, each in wanted.items() if each
        )

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


class _Seat:
    """The actor: a worker in a process of the cluster."""

    def __init__(self) -> None:
        self._worker: Callable[[Any], Any] | None = None
        if not ray.get_gpu_ids():  # what was not asked for is not used, from the first import on
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def load(self, modules: Sequence[str]) -> None:
        """Import what the worker will need."""
        for module in modules:
            importlib.import_module(module)

    def prepare(self, factory: WorkerFactory[Any, Any]) -> None:
        self._worker = factory()

    def answer(self) -> None:
        """Show that it is alive."""

    def work(self, item: Any) -> Any:
        assert self._worker is not None
        return self._worker(item)


def seats(share: Share, workers: int | None, modules: Sequence[str]) -> list[Any]:
    """Actors that import what they will need while nothing is there yet to work on."""
    count = min(workers or _room(share), _room(share))
    found = [_seat(share) for _ in range(count)]
    for actor in found:
        actor.load.remote(modules)
    return found


def _seat(share: Share) -> Any:
    return ray.remote(_Seat).options(num_cpus=share.cpus, num_gpus=share.gpus).remote()


def _room(share: Share) -> int:
    """How many workers the nodes that are alive hold, whoever else uses them."""
    return sum(share.room(node["Resources"]) for node in ray.nodes() if node["Alive"])


class RayCluster(Generic[Item, Result]):
    """Workers on the cluster that this process has joined.

    workers = None is as many as the nodes hold, and never more than `most`; early are seats that were
    taken before there was a factory.
    """

    name = "ray"

    def __init__(
        self,
        factory: WorkerFactory[Item, Result],
        *,
        share: Share,
        most: int,
        workers: int | None = None,
        early: Sequence[Any] = (),
    ) -> None:
        self._share = share
        self._most, self._asked = most, workers
        self._idle: list[Any] = []
        self._awaited: dict[Any, Any] = {}  # the promise of an answer -> the actor that gives it
        self._failures = 0
        if not _room(self._share):
            raise RpmaskError(
                f"No node of the Ray cluster can hold a candidate, which takes {share}; "
                f"{_resources()}.",
                "Lower --cpus-per-candidate or --gpus-per-candidate, or add a node that has them.",
            )
        self.workers = min(most, _room(self._share), workers or most)
        # The first ones were placed first. Those too many would keep what others wait for.
        self._early = list(early[: self.workers])
        for actor in early[self.workers :]:
            ray.kill(actor)
        self._factory = ray.put(factory)

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Apply a worker to every item; results come as they finish."""
        handout = Handout(items)
        busy: dict[Any, tuple[Any, Given[Item]]] = {}  # the promise of a result -> who is at what
        while True:
            self._give_out(handout, busy)
            if not busy and not handout.left():
                return
            promise = self._wait(busy)
            if promise is None:
                continue
            if promise in self._awaited:
                self._welcome(promise)
                continue
            actor, given = busy.pop(promise)
            try:
                result = ray.get(promise)
            except LOST:
                handout.back(given)
                # Others may have gone with it. Nothing is given to them before they answer.
                self._awaited.update({other.answer.remote(): other for other in self._idle})
                self._idle.clear()
                continue
            except exceptions.RayTaskError as error:
                raise _cause(error) from None
            self._idle.append(actor)
            self._give_out(handout, busy)  # the worker goes on while the result is written down
            yield result

    def close(self) -> None:
        """Give the resources back."""
        for actor in (*self._idle, *self._awaited.values(), *self._early):
            ray.kill(actor)
        self._early.clear()
        self._idle.clear()
        self._awaited.clear()

    def _give_out(self, handout: Handout[Item], busy: dict[Any, tuple[Any, Given[Item]]]) -> None:
        while self._idle and (given := handout.next()) is not None:
            actor = self._idle.pop()
            busy[actor.work.remote(given.item)] = (actor, given)

    def _wait(self, busy: dict[Any, tuple[Any, Given[Item]]]) -> Any:
        """The first promise that is kept; None when it is time to look around again."""
        self._recruit(len(busy))
        done, _ = ray.wait([*busy, *self._awaited], num_returns=1, timeout=PATIENCE_SECONDS)
        if done:
            return done[0]
        if not busy and not _room(self._share):
            raise RunFailed(
                f"The Ray cluster has lost every node that could hold a candidate ({self._share}).",
                "Start a node and give the same command again; it continues where it stopped.",
            )
        return None

    def _recruit(self, busy: int) -> None:
        """Ask for the actors that are missing; Ray creates them when there is room."""
        there = busy + len(self._idle) + len(self._awaited)
        if there >= self._most:
            return
        # Asked for more than there is room for, they wait for a node, which an autoscaler may start.
        wanted = min(self._most, self._asked or max(1, _room(self._share)))
        for _ in range(wanted - there):
            actor = self._early.pop(0) if self._early else _seat(self._share)
            self._awaited[actor.prepare.remote(self._factory)] = actor

    def _welcome(self, promise: Any) -> None:
        """An actor answered and may be given items, or it is gone."""
        actor = self._awaited.pop(promise)
        try:
            ray.get(promise)
        except LOST as error:
            self._failures += 1
            if self._failures > LOSSES_ALLOWED * self.workers:
                raise RunFailed(
                    f"Ray could not keep a worker alive: {str(error).splitlines()[0]}",
                    "They may run out of memory: ask for fewer --workers, or for more CPUs or GPUs a "
                    "candidate.",
                ) from error
        except exceptions.RuntimeEnvSetupError as error:
            raise RunFailed(
                f"Ray could not bring rpmask to a node: {str(error).splitlines()[0]}",
                "The node's log in /tmp/ray/session_latest/logs says more.",
            ) from error
        except exceptions.RayTaskError as error:
            raise _cause(error) from None
        else:
            self._failures = 0
            self._idle.append(actor)


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """In the cluster at the address or at RAY_ADDRESS, else in one that is started here.

    A process that is in a cluster already stays in that one.
    """
    if ray.is_initialized():
        yield
        return
    connect(address or os.environ.get("RAY_ADDRESS") or "local")
    # Ray tells of lost nodes on stdout, where a command's result belongs, up to the very end.
    with redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            ray.shutdown()


def connect(address: str) -> None:
    """Join a cluster; `local` starts one of this machine alone."""
    _check_reachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            log_to_driver=False,  # the workers' output would appear on our stdout
            logging_level="ERROR",
            # Processes of this machine find the code where this one has it.
            **(
                {"include_dashboard": False}
                if address == "local"
                else {"runtime_env": {"py_modules": [rpmask]}}
            ),
        )
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        raise RpmaskError(
            f"The Ray cluster '{address}' cannot be joined: {str(error).strip().splitlines()[0]}",
            "Python and Ray must be the cluster's versions, and RAY_AUTH_MODE what it was started with "
            "(token or disabled). Without --address a cluster of this machine alone is used.",
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own in place


def _check_reachable(address: str) -> None:
    """Say at once that nobody listens; Ray itself tries for half a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise RpmaskError(
            f"Nothing answers at the Ray address '{address}': {error.strerror or error}.",
            "Start the cluster with `ray start --head --port 6379` and give its HOST:6379.",
        ) from error


def _resources() -> str:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    each = ", ".join(f"{n.get('CPU', 0):g} CPU and {n.get('GPU', 0):g} GPU" for n in nodes[:4])
    return f"its nodes have {each}" + (", ..." if len(nodes) > 4 else "")


def _cause(error: exceptions.RayTaskError) -> BaseException:
    """What the worker raised, if it is meant for the user; else Ray's report with the worker's traceback."""
    return error.cause if isinstance(error.cause, RpmaskError) else error
