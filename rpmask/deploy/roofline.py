"""The time that a model's linear layers need at least on this machine, by arithmetic or by memory.

Both limits are measured with torch: fp32 operations a second in a large product, and bytes a second in a
sum over more numbers than a cache holds. Attention, norms and activations are left out, so a real pass takes
longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from rpmask.deploy.runtimes import CSR, DENSE, ONNX, OPENVINO
from rpmask.jsonrecord import Record

SIDE = 1024  # of the matrices that are multiplied
NUMBERS = 2**26  # that are read
TRIES = 5
DENSE_BYTES, CSR_BYTES = 4, 6  # a weight; CSR has an index of two bytes beside the value
# These multiply every weight; half precision and int8 have other limits.
FP32 = (DENSE, ONNX, OPENVINO)


@dataclass(frozen=True)
class Roofline(Record):
    """What one machine can do in a second, in billions, and the weights of a model's linear layers.

    kept are the weights that CSR multiplies, csr_bytes what it reads. A layer that is smaller dense stays so.
    """

    operations: float
    bytes: float
    weights: int
    kept: int
    csr_bytes: int

    def least_ms(self, runtime: str, rows: int) -> float | None:
        """The time of a pass over `rows` tokens; None for a runtime whose limits are others."""
        if runtime in FP32:
            weights, size = self.weights, self.weights * DENSE_BYTES
        elif runtime == CSR:
            weights, size = self.kept, self.csr_bytes
        else:
            return None
        seconds = max(2 * weights * rows / self.operations, size / self.bytes) / 1e9
        return 1000.0 * seconds

    def __str__(self) -> str:
        """The limits, in a sentence."""
        return (
            f"A second is enough for {self.operations:,.0f} billion fp32 operations, or to read "
            f"{self.bytes:,.1f} GB. Linear layers have {self.weights / 1e6:,.1f} million weights; CSR "
            f"multiplies {self.kept / 1e6:,.1f} million and reads {self.csr_bytes / 1e6:,.0f} MB "
            f"instead of {self.weights * DENSE_BYTES / 1e6:,.0f}."
        )


def measure(model: nn.Module) -> Roofline:
    """Measure this machine, with torch's threads, for a model."""
    layers = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    counts = [(weight.numel(), int(weight.count_nonzero())) for weight in layers]
    sparse = [kept * CSR_BYTES < total * DENSE_BYTES for total, kept in counts]
    square = torch.randn(SIDE, SIDE)
    numbers = torch.ones(NUMBERS)
    return Roofline(
        operations=2 * SIDE**3 / _fastest(lambda: square @ square) / 1e9,
        bytes=numbers.element_size() * NUMBERS / _fastest(numbers.sum) / 1e9,
        weights=sum(total for total, _ in counts),
        kept=sum(
            kept if fewer else total for (total, kept), fewer in zip(counts, sparse, strict=True)
        ),
        csr_bytes=sum(
            kept * CSR_BYTES if fewer else total * DENSE_BYTES
            for (total, kept), fewer in zip(counts, sparse, strict=True)
        ),
    )


def _fastest(call: Callable[[], object]) -> float:
    found = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - started)
    return found
