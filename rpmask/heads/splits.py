"""Rows ready for a model: tokens, or images.

A row is an example, or one of the windows that an example is read in (`heads/spans.py`). Its labels are one
value, or one for each of its tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from rpmask.heads.classes import UNKNOWN, UNKNOWN_UNIT

if TYPE_CHECKING:
    from datasets import Dataset

LOGIT_BYTES = 1 << 27  # of the logits that are computed at once, where a row has many
KEPT_BYTES = 1 << 28  # processed images of a split up to this size stay in memory
CHUNK_ROWS = 64  # images processed together


@dataclass(frozen=True)
class Encoded(torch.utils.data.Dataset[dict[str, Any]]):
    """A tokenised split. A row is a dict of unpadded lists, as transformers' collators expect.

    special holds the tokens that are not words: separators, padding. Padding stops at max_length. Rows of
    several units have a list of `labels` among their features, padded like the tokens. examples is the
    example of each row where one may have several, which follow one another. logit_bytes are those of a row's
    logits, where they are so many that they limit how many rows are computed at once.
    """

    features: list[dict[str, Any]]
    labels: np.ndarray  # (examples,)
    pad: dict[str, int]
    pad_left: bool = False
    special: frozenset[int] = frozenset()
    max_length: int | None = None
    examples: np.ndarray | None = None  # (rows,)
    logit_bytes: int = 0

    @classmethod
    def of(
        cls,
        features: list[dict[str, Any]],
        labels: np.ndarray,
        reader: Any,
        max_length: int,
        **more: Any,
    ) -> Encoded:
        """Rows as a tokenizer made them; in their `labels`, padding counts as no unit."""
        pad = {"input_ids": reader.pad_token_id or 0, "attention_mask": 0, "token_type_ids": 0}
        pad["labels"] = UNKNOWN
        return cls(
            features,
            labels,
            pad={name: filler for name, filler in pad.items() if name in features[0]},
            pad_left=reader.padding_side == "left",
            special=frozenset(reader.all_special_ids),
            max_length=max_length,
            **more,
        )

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.features[index]
        return row if "labels" in row else {"labels": self.labels[index], **row}

    @property
    def owners(self) -> np.ndarray:
        """The example of every row."""
        return np.arange(len(self)) if self.examples is None else self.examples

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every row."""
        return np.array([len(row["input_ids"]) for row in self.features])

    def at_once(self, rows: int) -> int:
        """So many rows, or fewer if their logits take too much memory."""
        return max(1, min(rows, LOGIT_BYTES // self.logit_bytes)) if self.logit_bytes else rows

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
        if "labels" in rows[0] and "labels" not in self.pad:
            batch["labels"] = torch.as_tensor(np.stack([row["labels"] for row in rows]))
        return batch

    def take(self, indices: np.ndarray) -> Encoded:
        """A split of these examples, with all rows of each."""
        if self.examples is None:
            features = [self.features[int(i)] for i in indices]
            return replace(self, features=features, labels=self.labels[indices])
        rows = [np.flatnonzero(self.examples == example) for example in indices]
        return replace(
            self,
            features=[self.features[row] for row in np.concatenate(rows)],
            labels=self.labels[indices],
            examples=np.repeat(np.arange(len(rows)), [len(each) for each in rows]),
        )

    def followed_by(self, features: list[dict[str, Any]], labels: np.ndarray) -> Encoded:
        """The rows, then other rows of the same examples in the same order, once or several times."""
        examples, copies = self.examples, len(features) // len(self)
        if examples is not None:
            examples = np.concatenate(
                [examples + copy * len(self.labels) for copy in range(copies + 1)]
            )
        return replace(
            self,
            features=[*self.features, *features],
            labels=np.concatenate([self.labels, *[labels] * copies]),
            examples=examples,
        )

    def without_labels(self) -> Encoded:
        """The same rows, whose labels count as not known."""
        if "labels" in self.pad:
            rows = [{**row, "labels": _unknown(row["labels"])} for row in self.features]
            return replace(self, features=rows)
        unknown = UNKNOWN if self.labels.dtype.kind == "i" else math.nan
        return replace(self, labels=np.full_like(self.labels, unknown))

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """These rows, padded together."""
        return self.collate([self[int(i)] for i in indices])


def _unknown(labels: list[int]) -> list[int]:
    """Units without a target at the same tokens."""
    return [label if label == UNKNOWN else UNKNOWN_UNIT for label in labels]


@dataclass(frozen=True)
class ImageRows(torch.utils.data.Dataset[dict[str, Any]]):
    """A split of images. A row is a dict of processed values, as transformers' collators expect.

    A small split is processed once and kept in memory; a larger one is read from its dataset by batches.
    """

    split: Dataset = field(repr=False)
    processor: Any = field(repr=False)
    labels: np.ndarray  # (rows,)
    max_length: ClassVar[None] = None  # images have no tokens

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self._pixels([index])[0], "labels": self.labels[index]}

    @property
    def lengths(self) -> np.ndarray:
        """All the same: images are not padded."""
        return np.zeros(len(self), dtype=np.int64)

    def at_once(self, rows: int) -> int:
        """So many rows: an image has few logits."""
        return rows

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack rows into a batch."""
        return {
            "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
            "labels": torch.as_tensor(np.stack([row["labels"] for row in rows])),
        }

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """These rows as a batch."""
        rows = [int(i) for i in indices]
        return {"pixel_values": self._pixels(rows), "labels": torch.as_tensor(self.labels[rows])}

    @property
    def owners(self) -> np.ndarray:
        """Every row is an example."""
        return np.arange(len(self))

    def take(self, indices: np.ndarray) -> ImageRows:
        """A split of these rows."""
        return ImageRows(self.split.select(indices), self.processor, self.labels[indices])

    def _pixels(self, rows: list[int]) -> torch.Tensor:
        kept = self._kept
        return self._processed(rows) if kept is None else kept[rows]  # (rows, channels, h, w)

    @cached_property
    def _kept(self) -> torch.Tensor | None:
        first = self._processed([0])
        if first.numel() * first.element_size() * len(self) > KEPT_BYTES:
            return None
        rows = list(range(len(self)))
        chunks = [rows[i : i + CHUNK_ROWS] for i in range(0, len(rows), CHUNK_ROWS)]
        return torch.cat([self._processed(chunk) for chunk in chunks])

    def _processed(self, rows: list[int]) -> torch.Tensor:
        images = [image.convert("RGB") for image in self.split[rows]["image"]]
        pixels: torch.Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        return pixels


Split = Encoded | ImageRows


def encode_images(split: Dataset, processor: Any) -> ImageRows:
    """Pair a split with the image processor of the model that will see it."""
    return ImageRows(split, processor, np.asarray(split["label"], dtype=np.int64))
