"""Perturbed copies of training rows, distilled from the teacher.

In each copy some tokens are replaced by tokens drawn from the split, with their frequencies there, and some
are swapped with the next. A perturbed row has no label: the pruned model learns the dense model's answer.
"""

from __future__ import annotations

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads.splits import Encoded, Split
from rpmask.streams import generator

REPLACED, SWAPPED = 0.09, 0.06  # shares of a row's tokens


def with_perturbed(data: Split, copies: int, seed: int) -> Encoded:
    """The rows, followed by perturbed copies of all of them."""
    if not isinstance(data, Encoded):
        raise RpmaskError("Rows of images cannot be perturbed.", "Leave --augment out.")
    rng = generator(seed, "augment")
    special = np.array(sorted(data.special), dtype=np.int64)
    tokens = [np.asarray(row["input_ids"], dtype=np.int64) for row in data.features]
    words = np.concatenate(tokens)
    words = words[~np.isin(words, special)]
    unlabelled = data.without_labels()
    features = []
    for _ in range(copies):
        for row, ids in zip(unlabelled.features, tokens, strict=True):
            features.append({**row, "input_ids": _perturbed(ids, special, words, rng).tolist()})
    return data.followed_by(features, unlabelled.labels)


def _perturbed(
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
