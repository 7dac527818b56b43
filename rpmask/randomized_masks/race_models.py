"""Where a race's workers get their models: from folders of this machine, or shipped as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.tasks.spec import TaskSpec
from rpmask.train.models import load_classifier, restored_classifier

DECIDING = ("torch", "transformers", "numpy")  # another version may give other numbers

Weights = dict[str, torch.Tensor]


class RaceModels(Protocol):
    """The models of a race; picklable."""

    def start(self, *, attentions: bool, dropout: float | None) -> tuple[nn.Module, Weights]:
        """The level's starting classifier, and a copy of its weights that the caller must not change."""

    def dense(self, *, attentions: bool) -> nn.Module:
        """The dense model that candidates are distilled from."""


@dataclass(frozen=True)
class ModelFolders:
    """Models read from folders of this machine."""

    start_folder: str
    dense_folder: str
    task: TaskSpec

    def start(self, *, attentions: bool, dropout: float | None) -> tuple[nn.Module, Weights]:
        """Read the starting model from its folder."""
        model = load_classifier(
            self.start_folder, self.task, attentions=attentions, dropout=dropout
        )
        return model, {name: value.clone() for name, value in model.state_dict().items()}

    def dense(self, *, attentions: bool) -> nn.Module:
        """Read the dense model from its folder."""
        return load_classifier(self.dense_folder, self.task, attentions=attentions)


@dataclass(frozen=True)
class ModelArrays:
    """A classifier as its configuration and its weights.

    The weights are plain numpy arrays, which Ray maps into every worker of a node from one copy.
    """

    config: Any
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, folder: str, task: TaskSpec) -> ModelArrays:
        """Read a model folder of this machine."""
        model = load_classifier(folder, task)
        return cls(model.config, {name: v.numpy() for name, v in model.state_dict().items()})

    def tensors(self) -> Weights:
        """The weights as tensors that share the arrays' memory."""
        with warnings.catch_warnings():
            # torch warns that a store's arrays are read-only; these tensors are only read.
            warnings.filterwarnings("ignore", message=".*not writable")
            return {name: torch.from_numpy(array) for name, array in self.weights.items()}


@dataclass(frozen=True)
class ShippedModels:
    """Models as arrays, for workers that cannot read this machine's folders."""

    task: TaskSpec
    start_arrays: ModelArrays
    dense_arrays: ModelArrays
    versions: Mapping[str, str]

    @classmethod
    def of(cls, start: str, dense: str, task: TaskSpec) -> ShippedModels:
        """Read the folders of this machine, once if they are the same."""
        arrays = ModelArrays.of(start, task)
        own = arrays if dense == start else ModelArrays.of(dense, task)
        return cls(task, arrays, own, {name: version(name) for name in DECIDING})

    def start(self, *, attentions: bool, dropout: float | None) -> tuple[nn.Module, Weights]:
        """Build the starting model, if the worker has the versions the race was started with."""
        for name, ours in self.versions.items():
            if (here := version(name)) != ours:
                raise RpmaskError(
                    f"A worker has {name} {here}; the race was started with {ours}.",
                    "Install the same versions on every node: `pip freeze` here lists them.",
                )
        weights = self.start_arrays.tensors()
        model = restored_classifier(
            self.start_arrays.config, self.task, weights, attentions=attentions, dropout=dropout
        )
        return model, weights

    def dense(self, *, attentions: bool) -> nn.Module:
        """Build the dense model."""
        arrays = self.dense_arrays
        return restored_classifier(
            arrays.config, self.task, arrays.tensors(), attentions=attentions
        )
