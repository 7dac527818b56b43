"""Tokenised rows, and the order in which a race sees them.

Every candidate of a race sees the same batches in the same order (common random numbers), so two
candidates differ only in their masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from datasets import Dataset

MEGABATCH = 16  # batches sorted by length together, so that little is padded


def real_rows(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Flatten values to rows, (rows, width), without padding where they still have the shape of tokens."""
    if real is not None and values.shape[:-1] == real.shape:
        values = values[real.bool()]
    return values.reshape(-1, values.shape[-1])


class Split(Protocol):
    """Rows ready for a model: texts (`Encoded`) or images (`train/images.py`)."""

    @property
    def labels(self) -> np.ndarray:
        """Class indices or numbers, (rows,)."""

    @property
    def lengths(self) -> np.ndarray:
        """The length by which rows are grouped, so that little is padded, (rows,)."""

    @property
    def max_length(self) -> int | None:
        """The most tokens that a row may have; None for images."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> Split:
        """A split of these rows."""

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """The model's inputs for these rows, and their labels."""


@dataclass(frozen=True)
class Encoded(torch.utils.data.Dataset[dict[str, Any]]):
    """A tokenised split. A row is a dict of unpadded lists, as transformers' collators expect.

    special holds the tokens that are not words: separators, padding. Padding stops at max_length.
    """

    features: list[dict[str, Any]]
    labels: np.ndarray
    pad: dict[str, int]
    pad_left: bool = False
    special: frozenset[int] = frozenset()
    max_length: int | None = None

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.features[index], "labels": self.labels[index]}

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every row."""
        return np.array([len(row["input_ids"]) for row in self.features])

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad to the longest row of the batch, rounded up to a multiple of eight within max_length."""
        longest = max(len(row["input_ids"]) for row in rows)
        length = -(-longest // 8) * 8
        if self.max_length is not None:
            length = max(longest, min(length, self.max_length))
        batch: dict[str, torch.Tensor] = {}
        for name, filler in self.pad.items():
            padded = np.full((len(rows), length), filler, dtype=np.int64)
            for i, row in enumerate(rows):
                size = len(row[name])
                padded[i, length - size if self.pad_left else 0 :][:size] = row[name]
            batch[name] = torch.from_numpy(padded)  # (batch, tokens)
        if "labels" in rows[0]:
            batch["labels"] = torch.as_tensor(np.stack([row["labels"] for row in rows]))
        return batch

    def take(self, indices: np.ndarray) -> Encoded:
        """A split of these rows."""
        features = [self.features[int(i)] for i in indices]
        return replace(self, features=features, labels=self.labels[indices])

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """These rows, padded together."""
        return self.collate([self[int(i)] for i in indices])


def encode(split: Dataset, tokenizer: Any, spec: TaskSpec, max_length: int) -> Encoded:
    """Tokenise a split; labels become class indices or floats."""
    pairs = split["text_pair"][:] if spec.pair else None
    tokens = tokenizer(split["text"][:], pairs, truncation=True, max_length=max_length)
    fillers = {"input_ids": tokenizer.pad_token_id or 0, "attention_mask": 0, "token_type_ids": 0}
    names = [name for name in fillers if name in tokens]
    kind = np.int64 if spec.kind == "classification" else np.float32
    return Encoded(
        features=[{name: tokens[name][i] for name in names} for i in range(len(split))],
        labels=np.asarray(split["label"][:], dtype=kind),
        pad={name: fillers[name] for name in names},
        pad_left=tokenizer.padding_side == "left",
        special=frozenset(tokenizer.all_special_ids),
        max_length=max_length,
    )


def training_order(data: Split, batch_size: int, steps: int, seed: int) -> list[np.ndarray]:
    """Row indices of every step: epochs of shuffled, length-grouped, full batches."""
    batch_size = min(batch_size, len(data))
    chunk = batch_size * MEGABATCH
    lengths = data.lengths
    order: list[np.ndarray] = []
    epoch = 0
    while len(order) < steps:
        rng = generator(seed, "order", str(epoch))
        rows = rng.permutation(len(data))
        rows = rows[: len(rows) // batch_size * batch_size]
        groups = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]
        rows = np.concatenate(
            [group[np.argsort(-lengths[group], kind="stable")] for group in groups]
        )
        batches = rows.reshape(-1, batch_size)
        order.extend(batches[rng.permutation(len(batches))])
        epoch += 1
    return order[:steps]


def calibration_rows(available: int, rows: int, seed: int) -> np.ndarray:
    """The training rows that statistics are computed on: seeded, in a seeded order."""
    return generator(seed, "calibration").permutation(available)[:rows]
