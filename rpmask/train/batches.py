"""Token ids of a task's split, and the order in which a race sees them.

Every candidate of a race sees the same batches in the same order (common random numbers): what
differs between two candidates is then their masks and nothing else.
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

MEGABATCH = 16  # batches that are sorted by length together, so that padding costs little


def real_rows(values: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """What a batch's tokens are as rows, (rows, width), without padding where they are tokens yet."""
    if real is not None and values.shape[:-1] == real.shape:
        values = values[real.bool()]
    return values.reshape(-1, values.shape[-1])


class Split(Protocol):
    """Rows ready for a model, of texts (`Encoded`) or of images (`train/images.py`)."""

    @property
    def labels(self) -> np.ndarray:
        """Class indices or numbers, (rows,)."""

    @property
    def lengths(self) -> np.ndarray:
        """What rows are grouped by, so that little is padded, (rows,)."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> Split:
        """These rows as a split of their own."""

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """What the model is given for these rows, and their labels."""


@dataclass(frozen=True)
class Encoded(torch.utils.data.Dataset[dict[str, Any]]):
    """A tokenised split; one dict of unpadded lists a row, as transformers' collators want it.

    special are the tokens that are no words: separators, padding. Nothing is padded beyond most tokens.
    """

    features: list[dict[str, Any]]
    labels: np.ndarray
    pad: dict[str, int]
    pad_left: bool = False
    special: frozenset[int] = frozenset()
    most: int | None = None

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.features[index], "labels": self.labels[index]}

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every row."""
        return np.array([len(row["input_ids"]) for row in self.features])

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad to the longest row of the batch, in multiples of eight as far as a row may go."""
        longest = max(len(row["input_ids"]) for row in rows)
        length = -(-longest // 8) * 8
        if self.most is not None:
            length = max(longest, min(length, self.most))
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
        """The rows of these indices as a split of their own."""
        features = [self.features[int(i)] for i in indices]
        return replace(self, features=features, labels=self.labels[indices])

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """The rows of these indices, padded together."""
        return self.collate([self[int(i)] for i in indices])


def encode(split: Dataset, tokenizer: Any, spec: TaskSpec, max_length: int) -> Encoded:
    """Tokenise a split once; labels become class indices or floats."""
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
        most=max_length,
    )


def training_order(data: Split, batch_size: int, steps: int, seed: int) -> list[np.ndarray]:
    """Row indices of every step: epochs of shuffled, length-grouped, full batches."""
    if len(data) < batch_size:
        batch_size = len(data)
    lengths = data.lengths
    order: list[np.ndarray] = []
    epoch = 0
    while len(order) < steps:
        rng = generator(seed, "order", str(epoch))
        rows = rng.permutation(len(data))
        rows = rows[: len(rows) // batch_size * batch_size]
        chunk = batch_size * MEGABATCH
        groups = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]
        rows = np.concatenate(
            [group[np.argsort(-lengths[group], kind="stable")] for group in groups]
        )
        batches = rows.reshape(-1, batch_size)
        order.extend(batches[rng.permutation(len(batches))])
        epoch += 1
    return order[:steps]


def calibration_rows(available: int, rows: int, seed: int) -> np.ndarray:
    """Which training examples the statistics are computed on: seeded, in a seeded order."""
    return generator(seed, "calibration").permutation(available)[:rows]
