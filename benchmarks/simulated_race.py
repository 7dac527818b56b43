"""A race on many workers as a discrete-event simulation of what `--engine ray` does.

The coordinator, the machine that gives the command, gives out legs and takes their scores, one after another.
Its link carries the weights to the first node, which pass them on, and the masks. Training states go from
worker to worker, over the link of the one that needs them, unless it has them itself. A rung begins when the
one before has ended. Imported by scaling.py.
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
    """A model by its counts; the state of a candidate is 12 bytes a weight that trains and is not pruned."""

    parameters: float
    prunable: float
    embeddings: float = 0.0  # they stay as they are
    sparsity: float = 0.9375

    @property
    def trains(self) -> float:
        """The weights that a step multiplies and changes."""
        return self.parameters - self.embeddings

    @property
    def state(self) -> float:
        return 12 * (self.trains - self.sparsity * self.prunable)

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
    """Seconds: of a training step, of a leg's evaluation, of storing its score, of a byte here and there."""

    step: float
    evaluation: float
    prove_byte: float
    pack_byte: float
    unpack_byte: float
    handover: float
    handover_byte: float
    store: float
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

    def __init__(self, model: Model, workers: int, costs: Costs) -> None:
        self.model, self.costs = model, costs
        self.elsewhere = (workers - 1) / workers  # how probably a state is on another node
        self.coordinator, self.out = Line(), Line()
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
        """Train candidates by some steps; bytes of a state are needed for each, and others are left."""
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
            self._at(self.coordinator.use(when, self.costs.handover), self._send)

    def _send(self, when: float) -> None:
        mask = self.model.mask  # as if no worker's node had it yet
        self._at(self.out.use(when, mask * self.costs.network_byte), self._train)

    def _train(self, when: float) -> None:
        work = self._steps * self.costs.step + self.costs.evaluation
        around = (
            self.model.mask * self.costs.prove_byte
            + self._down * (self.costs.handover_byte + self.costs.unpack_byte)
            + self._up * self.costs.pack_byte
        )
        fetching = self._down * self.elsewhere * self.costs.network_byte
        self.training += work
        self.preparing += around
        self._at(when + fetching + around + work, self._answer)

    def _answer(self, when: float) -> None:
        self._ask(when)  # the worker continues before its score is stored
        self.coordinator.use(when, self.costs.handover + self.costs.store)


def simulate(rungs: Rungs, model: Model, workers: int, costs: Costs) -> dict[str, Any]:
    """Run a race; how long it takes, where the time goes, and what moves."""
    race = Simulation(model, workers, costs)
    # A node that has the weights passes them on: twice as many have them after each turn.
    turn = model.payload * costs.network_byte
    ready = [turn * (number.bit_length() + 1) for number in range(workers)]
    race.out.use(0.0, turn)
    race.coordinator.use(
        0.0, rungs[0][0] * model.mask * costs.handover_byte
    )  # into the object store
    between = workers * model.payload
    for index, (candidates, steps) in enumerate(rungs):
        down = model.state if index else 0.0
        up = model.state if index + 1 < len(rungs) else 0.0  # after the last nothing goes on
        race.run_rung(candidates, steps, down, up, ready)
        between += candidates * (down * race.elsewhere + model.mask)
    spent = workers * race.now
    return {
        "hours": race.now / 3600,
        "share_training": race.training / spent,
        "share_preparing": race.preparing / spent,
        "share_waiting": 1 - (race.training + race.preparing) / spent,
        "coordinator_busy": race.coordinator.busy / race.now,
        "link_busy": race.out.busy / race.now,
        "gigabytes_moved": between / 1e9,
        "gigabytes_of_states": rungs[0][0] * model.state / 1e9,
    }
