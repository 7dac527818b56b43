"""What a race starts from: the level's weights, the mask of each candidate, and what they learn from.

On this machine both are read from where they lie. To another machine the weights travel once, and of a
mask only its recipe: it is drawn again there, and its digest proves that it is the same one.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, base_of
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import MaskRecipe
from rpmask.tasks.spec import TaskSpec
from rpmask.train.models import load_classifier, restored_classifier

Arrays = Mapping[str, np.ndarray]

MASKS_KEPT = 8  # redrawn masks a worker holds on to; one bit a weight
DECIDING = ("torch", "transformers", "numpy")  # another version may give other numbers


class Contenders(Protocol):
    """Where a worker has its model and its masks from; picklable."""

    def opened(
        self, *, attentions: bool, dropout: float | None
    ) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        """The classifier, and the level's starting weights, which the caller leaves as they are."""

    def teacher(self, *, attentions: bool) -> nn.Module:
        """The dense model."""

    def mask(self, candidate: int) -> Mask:
        """The mask of one candidate."""


@dataclass(frozen=True)
class OnDisk:
    """Model folders of this machine, and masks that were read and proved."""

    start: str
    dense: str
    task: TaskSpec
    masks: tuple[Mask, ...]

    def opened(
        self, *, attentions: bool, dropout: float | None
    ) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        """Read from the folder."""
        model = load_classifier(self.start, self.task, attentions=attentions, dropout=dropout)
        return model, {name: value.clone() for name, value in model.state_dict().items()}

    def teacher(self, *, attentions: bool) -> nn.Module:
        """Read from its folder."""
        return load_classifier(self.dense, self.task, attentions=attentions)

    def mask(self, candidate: int) -> Mask:
        """As it was read."""
        return self.masks[candidate]


@dataclass(frozen=True)
class Drawing:
    """How a pool's masks are drawn: recipes with the digests they must give, and what they need."""

    recipes: tuple[MaskRecipe, ...]
    digests: tuple[str, ...]
    tensors: tuple[Prunable, ...]
    statistics: Mapping[str, Arrays]
    parent: Mask | None


@dataclass(frozen=True)
class Packed:
    """A classifier as its configuration and arrays, with the prefix of what masks name."""

    config: Any
    weights: Arrays
    base: str

    @classmethod
    def of(cls, folder: str, task: TaskSpec) -> Packed:
        """Read a model folder of this machine."""
        model = load_classifier(folder, task)
        weights = {name: value.numpy() for name, value in model.state_dict().items()}
        base = next(path for path, module in model.named_modules() if module is base_of(model))
        return cls(model.config, weights, f"{base}." if base else "")


class Carried:
    """Weights as arrays and masks as recipes. Without a dense model of its own the start is the teacher.

    Plain numpy arrays, because Ray maps those into every worker of a node from one copy in its store.
    """

    def __init__(
        self, task: TaskSpec, start: Packed, drawing: Drawing, dense: Packed | None = None
    ) -> None:
        self._task, self._start, self._drawing = task, start, drawing
        self._dense = dense or start
        self._versions = {name: version(name) for name in DECIDING}
        self._masks: OrderedDict[int, Mask] = OrderedDict()
        self._statistics: dict[str, Statistics] | None = None

    @classmethod
    def of(cls, start: str, dense: str, task: TaskSpec, drawing: Drawing) -> Carried:
        """Pack the model folders of this machine, once if they are the same."""
        own = None if dense == start else Packed.of(dense, task)
        return cls(task, Packed.of(start, task), drawing, own)

    def opened(
        self, *, attentions: bool, dropout: float | None
    ) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        """Built from its configuration, then given the weights."""
        for name, ours in self._versions.items():
            if (here := version(name)) != ours:
                raise RpmaskError(
                    f"A worker has {name} {here}; the race was started with {ours}.",
                    "Install the same versions on every node, for example from constraints.txt.",
                )
        weights = _tensors(self._start.weights)
        model = restored_classifier(
            self._start.config, self._task, weights, attentions=attentions, dropout=dropout
        )
        return model, weights

    def teacher(self, *, attentions: bool) -> nn.Module:
        """Built like the other."""
        weights = _tensors(self._dense.weights)
        return restored_classifier(self._dense.config, self._task, weights, attentions=attentions)

    def mask(self, candidate: int) -> Mask:
        """Drawn again, unless it was drawn lately."""
        if candidate not in self._masks:
            self._masks[candidate] = self._redrawn(candidate)
            if len(self._masks) > MASKS_KEPT:
                self._masks.popitem(last=False)
        self._masks.move_to_end(candidate)
        return self._masks[candidate]

    def _redrawn(self, candidate: int) -> Mask:
        drawing = self._drawing
        recipe, expected = drawing.recipes[candidate], drawing.digests[candidate]
        if self._statistics is None:
            self._statistics = {
                kind: Statistics.of(kind, _tensors(arrays))
                for kind, arrays in drawing.statistics.items()
            }
        # Masks name tensors without the base model's prefix.
        names = {tensor.name: self._start.base + tensor.name for tensor in drawing.tensors}
        weights = _tensors({name: self._start.weights[stored] for name, stored in names.items()})
        mask = draw_mask(
            recipe,
            TensorWeights(weights),
            drawing.tensors,
            statistics=self._statistics,
            parent=drawing.parent,
            threads=torch.get_num_threads(),
        )
        if mask.digest != expected:
            raise RunFailed(
                f"Candidate {candidate} redrawn on a worker is {mask.digest[:16]}, the pool says "
                f"{expected[:16]}.",
                "Its node has other versions or other hardware; `rpmask doctor` there says which.",
            )
        return mask


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        # Arrays in a shared store cannot be written to, and torch warns of that; they are only read.
        warnings.filterwarnings("ignore", message=".*not writable")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
