"""Where a race's candidates train: which engine, with how many workers, and what the workers get.

None of it decides a result, except the number of threads and the kind of device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from rpmask.engines.local import InProcess, Processes, warm_up
from rpmask.errors import RpmaskError, install_hint
from rpmask.randomized_masks.gpu_sharing import candidate_bytes, free_devices, places, seeing
from rpmask.randomized_masks.race_models import ModelFolders, RaceModels, ShippedModels
from rpmask.randomized_masks.race_worker import Leg, LegResult, RaceSetup, RaceWorker
from rpmask.steps.context import available_cores
from rpmask.steps.requests import ScreenRequest
from rpmask.tasks.spec import TaskSpec
from rpmask.train.models import skeleton

if TYPE_CHECKING:
    from rpmask.engines.engine import Engine, WorkerFactory

# What a race is run with and not by: the same race goes on with other ones.
WHERE = ("storage", "workers", "engine", "address", "cpus_per_candidate", "gpus_per_candidate")

IMPORTED_BY_WORKERS = (
    "rpmask.randomized_masks.race_worker",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "sklearn.metrics",
)


def deciding(request: ScreenRequest) -> dict[str, Any]:
    """The parameters that a race's numbers depend on."""
    given = {name: value for name, value in request.to_dict().items() if name not in WHERE}
    return {**given, "threads": race_threads(request), "device": race_device(request)}


def race_threads(request: ScreenRequest) -> int:
    """Threads of a candidate: the cores of this machine shared out, or what it takes of a node."""
    if request.threads:
        return request.threads
    if request.engine == "ray":
        return max(1, int(request.cpus_per_candidate or 1))
    return max(1, available_cores() // (request.workers or 1))


def race_device(request: ScreenRequest) -> str:
    """The kind of device that candidates train on."""
    if request.engine == "ray":
        return "cuda" if request.gpus_per_candidate else "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def race_models(request: ScreenRequest, start: str, dense: str, spec: TaskSpec) -> RaceModels:
    """The models in the form in which they reach the workers."""
    if request.engine == "ray":
        return ShippedModels.of(start, dense, spec)
    return ModelFolders(start, dense, spec)


@contextmanager
def warmed_up(request: ScreenRequest) -> Iterator[Callable[[], list[Any]]]:
    """Begin what an engine takes seconds for, beside the reading of models and data.

    What is yielded waits for it, and gives what is for the engine. On the way out a cluster is left again.
    """
    # The thread outlives the cluster that it starts: Linux ends its processes together with it.
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        begun = thread.submit(_begin, request, stack)
        try:
            yield begun.result
        finally:
            wait([begun])  # what it still enters must be there to be left


def _begin(request: ScreenRequest, stack: ExitStack) -> list[Any]:
    if request.engine == "ray":
        module = _ray_engine()
        from rpmask.engines.ray_connection import joined

        stack.enter_context(joined(request.address))
        actors: list[Any] = module.start_actors(
            _share(request), request.workers, IMPORTED_BY_WORKERS
        )
        return actors
    if (request.workers or 1) > 1 or race_device(request) == "cuda":
        warm_up(IMPORTED_BY_WORKERS)
    return []


@contextmanager
def opened_engine(
    request: ScreenRequest, setup: RaceSetup, start: str, k: int, early: Sequence[Any]
) -> Iterator[Engine[Leg, LegResult]]:
    """The engine asked for, ready to run the legs of k candidates, with what was begun early."""
    engine = _engine(request, setup, start, k, early)
    try:
        yield engine
    finally:
        engine.close()


def _engine(
    request: ScreenRequest, setup: RaceSetup, start: str, k: int, early: Sequence[Any]
) -> Engine[Leg, LegResult]:
    if request.engine == "ray":
        return _ray(request, setup, k, early)
    factory: WorkerFactory[Leg, LegResult] = partial(RaceWorker, setup)
    if race_device(request) == "cuda":
        return _on_devices(request, factory, setup, start, k)
    workers = min(request.workers or 1, k)
    return InProcess(factory) if workers == 1 else Processes(factory, workers)


def _ray(
    request: ScreenRequest, setup: RaceSetup, k: int, early: Sequence[Any]
) -> Engine[Leg, LegResult]:
    module = _ray_engine()
    # Each mask goes to the object store once, and from there to the nodes that train its candidate.
    setup = replace(setup, masks=module.Stored(setup.masks[i] for i in range(k)))
    return module.RayCluster(
        partial(RaceWorker, setup),
        share=_share(request),
        most=k,
        workers=request.workers,
        early=early,
    )


def _share(request: ScreenRequest) -> Any:
    """What a candidate takes of a Ray node."""
    cpus = request.cpus_per_candidate or race_threads(request)
    return _ray_engine().Share(cpus, request.gpus_per_candidate)


def _ray_engine() -> ModuleType:
    try:
        from rpmask.engines import ray
    except ModuleNotFoundError as error:
        raise RpmaskError(
            f"--engine ray needs Ray, which cannot be imported: {error}.",
            f"Install it: {install_hint('ray')}, here and on every node.",
        ) from error
    return ray


def _on_devices(
    request: ScreenRequest,
    factory: WorkerFactory[Leg, LegResult],
    setup: RaceSetup,
    start: str,
    k: int,
) -> Engine[Leg, LegResult]:
    """On GPUs candidates share a device as far as its memory goes, each in a process of its own."""
    most = min(k, request.workers or max(1, available_cores()))
    need: int | None = 0  # asked for by number, they are shared out without a look at the memory
    if request.workers is None:
        need = candidate_bytes(
            skeleton(start, setup.task),
            setup.training.batch_size,
            int(setup.train.lengths.max()),
            setup.training.distill,
        )
    where = places(free_devices(), need, most)
    if list(where) == [0]:  # where this process computes; another device is given to one of its own
        return InProcess(factory)
    return Processes(factory, len(where), [seeing(device) for device in where])
