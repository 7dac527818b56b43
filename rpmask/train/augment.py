"""Altered copies of training rows, for which only the teacher's answers are learnt.

In each copy some tokens give way to others of the split, as frequent there as they are, and some change
places with the one behind. Nobody knows what such a row should be labelled, and nobody has to: the pruned
model is to answer it as the dense one does.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.streams import generator
from rpmask.train.batches import Encoded, Split

REPLACED, SWAPPED = 0.09, 0.06  # the share of a row's tokens
UNKNOWN = -100  # the label of an altered row: PyTorch's cross-entropy knows it as none


def with_altered(data: Split, copies: int, seed: int) -> Encoded:
    """The rows, and so many altered copies of each behind them."""
    if not isinstance(data, Encoded):
        raise RpmaskError("Rows of images cannot be altered.", "Leave --augment out.")
    rng = generator(seed, "augment")
    special = np.array(sorted(data.special), dtype=np.int64)
    tokens = [np.asarray(row["input_ids"], dtype=np.int64) for row in data.features]
    words = np.concatenate(tokens)
    words = words[~np.isin(words, special)]
    features = list(data.features)
    for _ in range(copies):
        for row, ids in zip(data.features, tokens, strict=True):
            features.append({**row, "input_ids": _altered(ids, special, words, rng).tolist()})
    whole = data.labels.dtype.kind == "i"
    none = np.full(copies * len(data), UNKNOWN if whole else math.nan, dtype=data.labels.dtype)
    return replace(data, features=features, labels=np.concatenate([data.labels, none]))


def _altered(
    ids: np.ndarray, special: np.ndarray, words: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One row with other words; special tokens stay where they are."""
    ids, free = ids.copy(), ~np.isin(ids, special)
    chance = rng.random(len(ids))
    replaced = free & (chance < REPLACED)
    ids[replaced] = words[rng.integers(len(words), size=int(replaced.sum()))]
    swapped = free & (chance >= REPLACED) & (chance < REPLACED + SWAPPED)
    for place in np.flatnonzero(swapped[:-1] & free[1:]):
        ids[place], ids[place + 1] = ids[place + 1], ids[place]
    return ids
