"""The limits of a machine, and the time they leave for a model's linear layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rpmask.deploy.roofline import Roofline, measure
from rpmask.deploy.runtimes import CSR, DENSE


def test_the_least_time_is_of_arithmetic_or_of_memory() -> None:
    # 100 billion operations and 10 GB a second; 50 million weights, a tenth of them kept.
    limits = Roofline(100.0, 10.0, 50_000_000, 5_000_000, 30_000_000)
    assert limits.least_ms(DENSE, 1) == pytest.approx(20.0)  # 200 MB are read
    assert limits.least_ms(DENSE, 100) == pytest.approx(100.0)  # 10 billion operations
    assert limits.least_ms(CSR, 1) == pytest.approx(3.0)  # 30 MB
    assert limits.least_ms(CSR, 100) == pytest.approx(10.0)
    assert limits.least_ms("dynamic int8", 1) is None


def test_weights_of_linear_layers_are_counted() -> None:
    dense, sparse = nn.Linear(4, 4), nn.Linear(4, 4)
    model = nn.Sequential(nn.Embedding(7, 4), dense, nn.LayerNorm(4), sparse)
    with torch.no_grad():
        dense.weight[0] = 0  # twelve values with their indices are more than sixteen values
        sparse.weight[1:] = 0
    found = measure(model)
    assert (found.weights, found.kept) == (32, 16 + 4)
    assert found.csr_bytes == 16 * 4 + 4 * 6
    assert found.operations > 0
    assert found.bytes > 0
