"""CSR layers: the same values whatever the number of rows, and only where they were faster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from deploy.small import batch, masked
from torch import nn
from toy import tiny_bert

from rpmask.deploy import csr
from rpmask.deploy.measure import Timing


def sparse_linear(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(24, 16, bias=bias)
    with torch.no_grad():
        layer.weight *= torch.rand(16, 24) < 0.2
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("most", [4, csr.ROWS[-1]])
@pytest.mark.parametrize("shape", [(24,), (3, 24), (2, 5, 24), (2, 1200, 24)])
def test_the_product_is_the_dense_one(shape: tuple[int, ...], most: int, bias: bool) -> None:
    layer = sparse_linear(bias)
    inputs = torch.randn(shape)
    with torch.inference_mode():
        found = csr.CsrLinear(layer, most)(inputs)
        torch.testing.assert_close(found, layer(inputs), rtol=1e-5, atol=1e-5)


def test_by_hand() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]))
        layer.bias.copy_(torch.tensor([1.0, -1.0]))
        found = csr.CsrLinear(layer, 8)(torch.tensor([[5.0, 3.0, 9.0]]))
    assert found.tolist() == [[7.0, -1.0]]


def test_only_a_layer_that_needs_it_keeps_the_dense_weight() -> None:
    assert csr.CsrLinear(sparse_linear(), csr.ROWS[-1]).dense is None
    assert csr.CsrLinear(sparse_linear(), csr.ROWS[0]).dense is not None


def faked(speedups: list[float]) -> Any:
    """Timings that are not measured: the speed-up at each number of rows, in order."""
    left = iter(speedups)

    def timed(calls: Mapping[str, Any], *, repeats: int) -> dict[str, Timing]:
        assert set(calls) == {"dense", "csr"}
        return {"dense": Timing(next(left), 0, repeats), "csr": Timing(1.0, 0, repeats)}

    return timed


@pytest.mark.parametrize(
    ("speedups", "most"),
    [([2.0, 0.9, 3.0], 0), ([1.05, 9.0, 9.0], -1), ([2.0, 2.0, 1.0], 1), ([2.0, 2.0, 1.2], 2)],
)
def test_csr_is_used_up_to_where_it_stops_being_faster(
    speedups: list[float], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (8, 32, 128)
    monkeypatch.setattr(csr, "interleaved", faked(speedups))
    found = csr._faster_up_to(sparse_linear(), rows, 3)
    assert found == (0 if most < 0 else rows[most])


def test_matrices_of_one_kind_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_bert()
    mask = masked(model)
    timed: list[Any] = []
    monkeypatch.setattr(csr, "_faster_up_to", lambda layer, *_: timed.append(layer) or 32)
    routes = csr.choose_routes(model, mask)
    assert set(routes) == set(mask.names)
    assert set(routes.values()) == {32}
    assert len(timed) < len(routes)


def test_layers_are_put_where_the_routes_say() -> None:
    model = tiny_bert().eval()
    masked(model)
    inputs = batch()
    with torch.no_grad():
        expected = model(**inputs).logits
    name = "encoder.layer.0.intermediate.dense"
    routes = {f"{name}.weight": 32, "encoder.layer.1.intermediate.dense.weight": 0}
    with torch.inference_mode():
        found = csr.install(model, routes)(**inputs).logits
    assert isinstance(model.bert.get_submodule(name), csr.CsrLinear)
    assert isinstance(model.bert.encoder.layer[1].intermediate.dense, nn.Linear)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
