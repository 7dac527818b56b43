"""The engine of a race: where candidates train, with how many workers, and what the workers receive.

Only the number of threads and the kind of device affect the numbers.
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

# Options that do not affect the numbers; an interrupted race may continue with others.
WHERE = ("storage", "workers", "engine", "address", "cpus_per_candidate", "gpus_per_candidate")

IMPORTED_BY_WORKERS = (
    "rpmask.randomized_masks.race_worker",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "sklearn.metrics",
)


def deciding(request: ScreenRequest) -> dict[str, Any]:
    """Return the parameters that a race's numbers depend on."""
    where = {"threads": race_threads(request), "device": race_device(request)}
    return {**request.without(*WHERE), **where}


def race_threads(request: ScreenRequest) -> int:
    """Return the threads of a candidate: its share of this machine's cores, or of a node's CPUs."""
    if request.threads:
        return request.threads
    if request.engine == "ray":
        return max(1, int(request.cpus_per_candidate or 1))
    return max(1, available_cores() // (request.workers or 1))


def race_device(request: ScreenRequest) -> str:
    """Return the kind of device that candidates train on."""
    if request.engine == "ray":
        return "cuda" if request.gpus_per_candidate else "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def race_models(request: ScreenRequest, start: str, dense: str, spec: TaskSpec) -> RaceModels:
    """Return the models in the form that reaches the workers."""
    if request.engine == "ray":
        return ShippedModels.of(start, dense, spec)
    return ModelFolders(start, dense, spec)


@contextmanager
def warmed_up(request: ScreenRequest) -> Iterator[Callable[[], list[Any]]]:
    """Start the slow part of an engine in a thread, while models and data are read.

    The yielded function waits for it and returns what `open_engine` needs. A cluster is left at the end.
    """
    # The thread must outlive the cluster it starts: Linux ends a thread's child processes with the thread.
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        begun = thread.submit(_begin, request, stack)
        try:
            yield begun.result
        finally:
            wait([begun])  # the stack must hold everything before it is closed


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


def open_engine(
    request: ScreenRequest, setup: RaceSetup, start: str, k: int, early: Sequence[Any]
) -> Engine[Leg, LegResult]:
    """Return the requested engine for the legs of k candidates, with what `warmed_up` started."""
    if request.engine == "ray":
        module = _ray_engine()
        # Each mask goes to the object store once, and from there to the nodes that train its candidate.
        setup = replace(setup, masks=module.Stored(setup.masks[i] for i in range(k)))
        worker = partial(RaceWorker, setup)
        return module.RayCluster(
            worker,
            share=_share(request),
            most=k,
            workers=request.workers,
            early=early,
            kept="state",
        )
    factory: WorkerFactory[Leg, LegResult] = partial(RaceWorker, setup)
    if race_device(request) == "cuda":
        return _on_devices(request, factory, setup, start, k)
    workers = min(request.workers or 1, k)
    return InProcess(factory) if workers == 1 else Processes(factory, workers)


def _share(request: ScreenRequest) -> Any:
    """Return the share of a Ray node that a candidate takes."""
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
    """Place candidates on GPUs, as many to a device as its memory holds, each in its own process."""
    most = min(k, request.workers or max(1, available_cores()))
    need: int | None = 0  # with --workers the memory is not considered
    if request.workers is None:
        need = candidate_bytes(
            skeleton(start, setup.task),
            setup.training.batch_size,
            int(setup.train.lengths.max()),
            setup.training.distill,
        )
    where = places(free_devices(), need, most)
    if list(where) == [0]:  # the device that this process itself computes on
        return InProcess(factory)
    return Processes(factory, len(where), [seeing(device) for device in where])
