"""Named random streams."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """One stream per (seed, names): never the global state, never `seed + 1`."""
    return keyed_generator("/".join([str(seed), *names]))


def keyed_generator(key: str) -> np.random.Generator:
    """The stream for a key that names seed and purpose."""
    entropy = hashlib.sha256(key.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(entropy[:16], "little")))
