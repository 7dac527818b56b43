"""Workers for the engines to run; a module of its own, because other processes import it by name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rpmask.engines.engine import Indexed
from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask


class Double:
    def __call__(self, item: int) -> int:
        return 2 * item


class DiesOnce:
    """Its process is killed at item 2, the first time."""

    def __init__(self, folder: Path) -> None:
        self.died = folder / "died"

    def __call__(self, item: int) -> int:
        if item == 2 and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item


class DiesOfOne:
    def __call__(self, item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item


class Refuses:
    def __call__(self, item: int) -> int:
        raise RpmaskError(f"{item} cannot be doubled.", "Try another number.")


class CannotBeBuilt:
    def __init__(self) -> None:
        raise RpmaskError("There is no worker.", "Try another engine.")


class Waits:
    """Says in which node and process it is, then waits until it is let go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        import ray

        node = ray.get_runtime_context().get_node_id()
        (self.folder / f"{item}-{node}-{os.getpid()}").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.02)
        return 2 * item


class Shares:
    """Whether its array is the one in the node's store: that one cannot be written to."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __call__(self, item: int) -> bool:
        return not self.array.flags.writeable and float(self.array[item]) == item


class ReadsMasks:
    """Digests of masks from the object store, and whether their bits are the node's one copy."""

    def __init__(self, masks: Indexed[Mask]) -> None:
        self.masks = masks

    def __call__(self, item: int) -> tuple[str, bool]:
        mask = self.masks[item]
        assert "digest" not in vars(mask)  # it is computed here
        return mask.digest, mask.bits["0.weight"].base is not None


@dataclass(frozen=True)
class Turn:
    """A number to add to a total, which is large, and None at the beginning."""

    number: int
    total: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Summed(Turn):
    """A turn that was taken: its total, in which node, and what it began with."""

    node: str = ""
    began_with: float = 0.0


class Sums:
    """Adds a turn's number to its total."""

    def __call__(self, turn: Turn) -> Summed:
        import ray

        before = np.zeros(1_000_000) if turn.total is None else turn.total
        node = ray.get_runtime_context().get_node_id()
        return Summed(turn.number, before + turn.number, node, float(before[0]))
