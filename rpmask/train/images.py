"""Images as a model takes them: rows that are decoded and processed as a batch asks for them.

A split that is small enough is processed once and kept; a larger one is read from its dataset batch
by batch, so that an image folder need not fit into memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rpmask.errors import RpmaskError
from rpmask.train.model_place import locate

if TYPE_CHECKING:
    from datasets import Dataset

KEPT_BYTES = 1 << 28  # processed splits up to this size stay in memory
AT_ONCE = 64  # images processed together


@dataclass(frozen=True)
class ImageRows(torch.utils.data.Dataset[dict[str, Any]]):
    """A split of images; one dict of processed values a row, as transformers' collators want it."""

    split: Dataset = field(repr=False)
    processor: Any = field(repr=False)
    labels: np.ndarray  # (rows,)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self._pixels([index])[0], "labels": self.labels[index]}

    @property
    def lengths(self) -> np.ndarray:
        """All the same: an image is never padded."""
        return np.zeros(len(self), dtype=np.int64)

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack rows into a batch."""
        return {
            "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
            "labels": torch.as_tensor(np.stack([row["labels"] for row in rows])),
        }

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """The rows of these indices."""
        rows = [int(i) for i in indices]
        return {
            "pixel_values": self._pixels(rows),
            "labels": torch.as_tensor(self.labels[rows]),
        }

    def take(self, indices: np.ndarray) -> ImageRows:
        """The rows of these indices as a split of their own."""
        return ImageRows(self.split.select(indices), self.processor, self.labels[indices])

    def _pixels(self, rows: list[int]) -> torch.Tensor:
        kept = self._kept
        return self._processed(rows) if kept is None else kept[rows]  # (rows, channels, h, w)

    @cached_property
    def _kept(self) -> torch.Tensor | None:
        one = self._processed([0])
        if one.numel() * one.element_size() * len(self) > KEPT_BYTES:
            return None
        starts = range(0, len(self), AT_ONCE)
        parts = [self._processed(list(range(len(self)))[s : s + AT_ONCE]) for s in starts]
        return torch.cat(parts)

    def _processed(self, rows: list[int]) -> torch.Tensor:
        images = [image.convert("RGB") for image in self.split[rows]["image"]]
        pixels: torch.Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        return pixels


def encode_images(split: Dataset, processor: Any) -> ImageRows:
    """Pair a split with the processor of the model that will see it."""
    return ImageRows(split, processor, np.asarray(split["label"], dtype=np.int64))


def load_image_processor(source: str) -> Any:
    """The image processor that lies beside the weights."""
    from transformers import AutoImageProcessor
    from transformers.utils import logging

    place = locate(source)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # which backend it falls back to is no news to the user
    try:
        return AutoImageProcessor.from_pretrained(place.processor)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise RpmaskError(
            f"There is no image processor in {place.processor}: {str(error).splitlines()[0]}",
            "Save the processor beside the model with processor.save_pretrained(folder).",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
