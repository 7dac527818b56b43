"""Random crops and flips of training images: the paper's augmentation, on processed pixels.

Each image is padded by an eighth of its side (4 pixels of 32), cropped to its size at a random place, and
mirrored left to right with probability 1/2. The padding is 0, which for normalised pixels is the mean
colour. Digits and letters must not be mirrored.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

PIXELS = "pixel_values"
PAD_SHARE = 8  # of the side


def augmented(
    batch: dict[str, torch.Tensor], kind: str, random: np.random.Generator
) -> dict[str, torch.Tensor]:
    """The batch with its images cropped (`crop`), and mirrored as well (`crop-flip`)."""
    if kind == "none":
        return batch
    pixels = cropped(batch[PIXELS], random)
    if kind == "crop-flip":
        flip = torch.from_numpy(random.random(len(pixels)) < 0.5).to(pixels.device)
        pixels = torch.where(flip[:, None, None, None], pixels.flip(-1), pixels)
    return {**batch, PIXELS: pixels}


def cropped(pixels: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Move every image by up to an eighth of its height and width: (rows, channels, h, w)."""
    height, width = pixels.shape[-2:]
    down, across = height // PAD_SHARE, width // PAD_SHARE
    padded = F.pad(pixels, (across, across, down, down))
    tops = random.integers(0, 2 * down + 1, len(pixels))
    lefts = random.integers(0, 2 * across + 1, len(pixels))
    return torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, top, left in zip(padded, tops, lefts, strict=True)
        ]
    )
