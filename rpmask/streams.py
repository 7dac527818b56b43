"""Named random streams."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """One stream per (seed, names): never the global state, never `seed + 1`."""
    entropy = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(entropy[:16], "little")))
