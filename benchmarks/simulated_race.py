"""A race on many workers as a discrete-event simulation of what `--engine ray` does.

The coordinator, the machine that gives the command, reads and writes the training states one after another.
Its network link carries them, one after another in either direction. The workers train, and a rung begins
when the one before has ended. Imported by scaling.py.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rungs = list[tuple[int, int]]  # how many candidates are trained by how many steps


@dataclass(frozen=True)
class Model:
    """A model by its counts; the state of a candidate is 12 bytes a weight that is not pruned."""

    parameters: float
    prunable: float
    sparsity: float = 0.9375

    @property
    def state(self) -> float:
        return 12 * (self.parameters - self.sparsity * self.prunable)

    @property
    def payload(self) -> float:
        """The weights, sent to each worker's node once."""
        return 4 * self.parameters

    @property
    def mask(self) -> float:
        """A packed mask: one bit a prunable weight."""
        return self.prunable / 8


@dataclass(frozen=True)
class Costs:
    """Seconds: of a training step, of a leg's evaluation, of a byte or a weight here and there."""

    step: float
    evaluation: float
    prove_byte: float
    pack_byte: float
    unpack_byte: float
    disk_write_byte: float
    disk_read_byte: float
    handover: float
    handover_byte: float
    network_byte: float


class Line:
    """Something used by one at a time, in the order of asking."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0

    def use(self, now: float, seconds: float) -> float:
        """When a use that is asked for now has ended."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


class Simulation:
    """One race; a method for each thing that happens to a leg, called at the time it happens."""

    def __init__(self, model: Model, costs: Costs) -> None:
        self.model, self.costs = model, costs
        self.coordinator, self.out, self.back = Line(), Line(), Line()
        self.now = self.training = self.preparing = 0.0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = itertools.count()
        # Of the rung that is being run.
        self._left = 0
        self._steps = 0
        self._down = self._up = 0.0

    def run_rung(
        self, candidates: int, steps: int, down: float, up: float, ready: list[float]
    ) -> None:
        """Train candidates by some steps; bytes go down with each and up again."""
        self._left, self._steps, self._down, self._up = candidates, steps, down, up
        for when in ready:
            self._at(max(self.now, when), self._ask)
        while self._events:
            when, _, then = heapq.heappop(self._events)
            self.now = max(self.now, when)
            then(when)
        self.now = max(self.now, self.coordinator.free)

    def _at(self, when: float, then: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), then))

    def _ask(self, when: float) -> None:
        if self._left:
            self._left -= 1
            read = self._down * (self.costs.disk_read_byte + self.costs.handover_byte)
            self._at(self.coordinator.use(when, read + self.costs.handover), self._send)

    def _send(self, when: float) -> None:
        down = self._down + self.model.mask  # as if no worker's node had the mask yet
        self._at(self.out.use(when, down * self.costs.network_byte), self._train)

    def _train(self, when: float) -> None:
        work = self._steps * self.costs.step + self.costs.evaluation
        around = (
            self.model.mask * self.costs.prove_byte
            + self._down * self.costs.unpack_byte
            + self._up * self.costs.pack_byte
        )
        self.training += work
        self.preparing += around
        self._at(when + work + around, self._answer)

    def _answer(self, when: float) -> None:
        self._at(self.back.use(when, self._up * self.costs.network_byte), self._arrive)

    def _arrive(self, when: float) -> None:
        self._ask(when)  # the worker goes on before its result is written down
        write = self._up * (self.costs.disk_write_byte + self.costs.handover_byte)
        self.coordinator.use(when, write + self.costs.handover)


def simulate(rungs: Rungs, model: Model, workers: int, costs: Costs) -> dict[str, Any]:
    """Run a race; how long it takes, where the time goes, and what moves."""
    race = Simulation(model, costs)
    # The weights reach the workers' nodes one after the other.
    ready = [race.out.use(0.0, model.payload * costs.network_byte) for _ in range(workers)]
    race.coordinator.use(
        0.0, rungs[0][0] * model.mask * costs.handover_byte
    )  # into the object store
    sent, returned = workers * model.payload, 0.0
    for index, (candidates, steps) in enumerate(rungs):
        down = model.state if index else 0.0
        up = model.state if index + 1 < len(rungs) else 0.0  # after the last nothing goes on
        race.run_rung(candidates, steps, down, up, ready)
        sent += candidates * (down + model.mask)
        returned += candidates * up
    spent = workers * race.now
    return {
        "hours": race.now / 3600,
        "share_training": race.training / spent,
        "share_preparing": race.preparing / spent,
        "share_waiting": 1 - (race.training + race.preparing) / spent,
        "coordinator_busy": race.coordinator.busy / race.now,
        "link_out_busy": race.out.busy / race.now,
        "link_in_busy": race.back.busy / race.now,
        "gigabytes_out": sent / 1e9,
        "gigabytes_in": returned / 1e9,
        "gigabytes_stored": rungs[0][0] * model.state / 1e9,
    }
