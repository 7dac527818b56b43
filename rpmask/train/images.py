"""Image rows, decoded and processed as a batch asks for them.

A split that is small enough is processed once and kept in memory; a larger one is read from its dataset batch
by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

if TYPE_CHECKING:
    from datasets import Dataset

KEPT_BYTES = 1 << 28  # processed splits up to this size stay in memory
CHUNK_ROWS = 64  # processed together


@dataclass(frozen=True)
class ImageRows(torch.utils.data.Dataset[dict[str, Any]]):
    """A split of images. A row is a dict of processed values, as transformers' collators expect."""

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


def encode_images(split: Dataset, processor: Any) -> ImageRows:
    """Pair a split with the image processor of the model that will see it."""
    return ImageRows(split, processor, np.asarray(split["label"], dtype=np.int64))
