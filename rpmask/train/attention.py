"""Use the faster implementation of attention in a training.

PyTorch's fused kernels win nearly everywhere. On a CPU in bf16, and on short rows, plain products are
faster: a training step of a small encoder runs 1.6 to 2.1 times as fast (`benchmarks/attention.py`). On
long rows they store a map of every pair of tokens, and lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rpmask.heads.splits import Encoded, Split

SHORT = 128  # tokens


@contextmanager
def fast_attention(networks: Iterable[Any], data: Split, precision: str) -> Iterator[None]:
    """Use plain attention in text models where that is faster."""
    changed: list[tuple[Any, str]] = []
    if precision == "bf16" and isinstance(data, Encoded) and data.lengths.max() <= SHORT:
        for network in networks:
            if network is not None and next(network.parameters()).device.type == "cpu":
                changed.append((network, network.config._attn_implementation))
    for network, _ in changed:
        network.set_attn_implementation("eager")
    try:
        yield
    finally:
        for network, before in changed:
            network.set_attn_implementation(before)
