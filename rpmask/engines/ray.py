"""The engine for a Ray cluster: each worker is an actor, on any node that has room.

What workers are built from goes to Ray's object store once, and from there once to each node. rpmask itself
is sent to other machines too, so every node runs the code of the machine that gives the command. Actors are
created as resources allow; if one is lost, with its process or its node, it is replaced and its item is
retried.

A large field of a result can stay in the store of the node that computed it: the caller gets a reference and
puts it into a later item, and the value goes from node to node. If the value was lost with its node, the item
is computed without it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

import ray
from ray import exceptions

from rpmask.engines.engine import RETRIES, Attempt, Item, Queue, Result, WorkerFactory
from rpmask.errors import RpmaskError, RunFailed

# How long to wait for a result before checking whether the cluster has gained or lost nodes.
PATIENCE_SECONDS = 60.0
LOST = (
    exceptions.RayActorError,
    exceptions.ObjectLostError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.LocalRayletDiedError,
)

# An actor's handle, and the reference to a result that it will give.
Actor = Any
Reference = Any
# What is computed: who does it, the item, and the reference to what will be kept of the result.
Busy = dict[Reference, tuple[Actor, Attempt[Item], Reference]]


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

    def in_cluster(self) -> int:
        """How many workers the live nodes hold, whatever else runs on them."""
        return sum(self.room(node["Resources"]) for node in ray.nodes() if node["Alive"])

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


class Stored(Generic[Result]):
    """Values in the object store: each is put there once and fetched by the workers that need it."""

    def __init__(self, values: Iterable[Result]) -> None:
        self._references: list[Reference] = [ray.put(value) for value in values]

    def __getitem__(self, index: int, /) -> Result:
        value: Result = ray.get(self._references[index])
        return value


class _Worker:
    """The actor: a worker in a process of the cluster."""

    def __init__(self) -> None:
        self._worker: Callable[[Any], Any] | None = None
        if not ray.get_gpu_ids():  # no library may use a GPU that was not reserved
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def load(self, modules: Sequence[str]) -> None:
        """Import what the worker will need."""
        for module in modules:
            importlib.import_module(module)

    def prepare(self, factory: WorkerFactory[Any, Any]) -> None:
        self._worker = factory()

    def answer(self) -> None:
        """Show that it is alive."""

    def work(self, item: Any, kept: str | None, value: Any) -> tuple[Any, Any]:
        """The result, and the field of it that is kept. value is that of the item."""
        assert self._worker is not None
        if kept is None:
            return self._worker(item), None
        result = self._worker(replace(item, **{kept: value}))
        return replace(result, **{kept: None}), getattr(result, kept)


def start_actors(share: Share, workers: int | None, modules: Sequence[str]) -> list[Actor]:
    """Start actors early, so that they import modules while the race is still being prepared."""
    count = min(workers or share.in_cluster(), share.in_cluster())
    actors = [_actor(share) for _ in range(count)]
    for actor in actors:
        actor.load.remote(modules)
    return actors


def _actor(share: Share) -> Actor:
    return ray.remote(_Worker).options(num_cpus=share.cpus, num_gpus=share.gpus).remote()


class RayCluster(Generic[Item, Result]):
    """Workers on the cluster that this process has joined.

    workers = None means as many as the nodes hold; there are never more than `most`. `early` are actors
    that were started before there was a factory. `kept` names the field of items and results that stays in
    the nodes' stores.
    """

    name = "ray"

    def __init__(
        self,
        factory: WorkerFactory[Item, Result],
        *,
        share: Share,
        most: int,
        workers: int | None = None,
        early: Sequence[Actor] = (),
        kept: str | None = None,
    ) -> None:
        self._share, self._kept = share, kept
        self._most, self._wanted = most, workers
        self._idle: list[Actor] = []
        self._awaited: dict[Reference, Actor] = {}  # actors that have not answered yet
        self._failures = 0
        room = share.in_cluster()
        if not room:
            raise RpmaskError(
                f"No node of the Ray cluster can hold a candidate, which takes {share}; "
                f"{_resources()}.",
                "Lower --cpus-per-candidate or --gpus-per-candidate, or add a node that has them.",
            )
        self.workers = min(most, room, workers or most)
        # The first actors were placed first. Surplus actors would hold resources that others need.
        self._early = list(early[: self.workers])
        for actor in early[self.workers :]:
            ray.kill(actor)
        self._factory = ray.put(factory)

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Apply a worker to every item; results come as they finish."""
        queue = Queue(items)
        busy: Busy[Item] = {}
        while True:
            self._give_out(queue, busy)
            if not busy and not queue.left():
                return
            reference = self._wait(busy)
            if reference is None:
                continue
            if reference in self._awaited:
                self._welcome(reference)
                continue
            actor, attempt, value = busy.pop(reference)
            try:
                result = ray.get(reference)
            except exceptions.ObjectLostError:  # of the item: its node is gone, the actor lives
                queue.again(self._with_kept(attempt.item, None))
                self._idle.append(actor)
                continue
            except LOST:
                queue.lost(attempt)
                # Idle actors may be lost with it. They get no item before they answer.
                self._awaited.update({other.answer.remote(): other for other in self._idle})
                self._idle.clear()
                continue
            except exceptions.RayTaskError as error:
                raise _cause(error) from None
            self._idle.append(actor)
            self._give_out(queue, busy)  # the worker continues while the caller stores the result
            yield self._with_kept(result, value)

    def close(self) -> None:
        """Release the resources."""
        for actor in (*self._idle, *self._awaited.values(), *self._early):
            ray.kill(actor)
        self._early.clear()
        self._idle.clear()
        self._awaited.clear()

    def _give_out(self, queue: Queue[Item], busy: Busy[Item]) -> None:
        while self._idle and (attempt := queue.next()) is not None:
            actor = self._idle.pop()
            value = getattr(attempt.item, self._kept) if self._kept else None
            item = self._with_kept(attempt.item, None)
            result, kept = actor.work.options(num_returns=2).remote(item, self._kept, value)
            busy[result] = (actor, attempt, kept)

    def _with_kept(self, found: Any, value: Any) -> Any:
        """An item or a result with another value of the field that is kept."""
        return replace(found, **{self._kept: value}) if self._kept else found

    def _wait(self, busy: Busy[Item]) -> Reference | None:
        """The first reference that has a value; None when none had one in time."""
        self._add_actors(len(busy))
        done, _ = ray.wait([*busy, *self._awaited], num_returns=1, timeout=PATIENCE_SECONDS)
        if done:
            return done[0]
        if not busy and not self._share.in_cluster():
            raise RunFailed(
                f"The Ray cluster has lost every node that could hold a candidate ({self._share}).",
                "Start a node and give the same command again; it continues where it stopped.",
            )
        return None

    def _add_actors(self, busy: int) -> None:
        """Request missing actors; Ray creates them when there is room."""
        there = busy + len(self._idle) + len(self._awaited)
        if there >= self._most:
            return
        # Actors beyond the cluster's room wait for a node, which an autoscaler may start.
        wanted = min(self._most, self._wanted or max(1, self._share.in_cluster()))
        for _ in range(wanted - there):
            actor = self._early.pop(0) if self._early else _actor(self._share)
            self._awaited[actor.prepare.remote(self._factory)] = actor

    def _welcome(self, reference: Reference) -> None:
        """Add an actor that answered to the idle ones, or count it as lost."""
        actor = self._awaited.pop(reference)
        try:
            ray.get(reference)
        except LOST as error:
            self._failures += 1
            if self._failures > RETRIES * self.workers:
                raise RunFailed(
                    f"Ray could not keep a worker alive: {str(error).splitlines()[0]}",
                    "They may run out of memory: use fewer --workers, or more CPUs or GPUs for each "
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


def _resources() -> str:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    each = ", ".join(f"{n.get('CPU', 0):g} CPU and {n.get('GPU', 0):g} GPU" for n in nodes[:4])
    return f"its nodes have {each}" + (", ..." if len(nodes) > 4 else "")


def _cause(error: exceptions.RayTaskError) -> BaseException:
    """The worker's error if it is meant for the user, else Ray's report with the worker's traceback."""
    return error.cause if isinstance(error.cause, RpmaskError) else error
