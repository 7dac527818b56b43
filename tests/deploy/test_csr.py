"""CSR layers: the same values whatever the number of rows, and only where they were faster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from deploy.small import batch, masked
from torch import nn
from toy import tiny_bert

from rpmask.deploy import csr, csr_routes, sparse_product
from rpmask.deploy.measure import Timing


def sparse_linear(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(24, 16, bias=bias)
    with torch.no_grad():
        layer.weight *= torch.rand(16, 24) < 0.2
    return layer


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with the compiled product and with torch's."""
    if request.param == "torch":
        monkeypatch.setattr(sparse_product, "absent", lambda: "it is not wanted")
    elif missing := sparse_product.absent():
        pytest.skip(missing)
    return str(request.param)


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

    def timed(calls: Mapping[str, Any], *, repeats: int, seconds: float = 0) -> dict[str, Timing]:
        assert set(calls) == {"dense", "csr"}
        for call in calls.values():
            call()
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
    monkeypatch.setattr(csr_routes, "interleaved", faked(speedups))
    found = csr_routes._faster_up_to(sparse_linear(), rows, 3)
    assert found == (0 if most < 0 else rows[most])


def test_matrices_of_one_kind_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_bert()
    mask = masked(model)
    timed: list[Any] = []
    monkeypatch.setattr(csr_routes, "_faster_up_to", lambda layer, *_: timed.append(layer) or 32)
    monkeypatch.setattr(csr_routes, "_whole_faster_up_to", lambda *_: csr.ROWS[-1])
    routes = csr_routes.choose_routes(model, mask)
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


@pytest.mark.parametrize(("faster", "most"), [(0, 0), (1, 2), (2, 8), (3, csr.ROWS[-1])])
def test_routes_end_where_the_whole_model_is_not_faster(
    faster: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_bert().train()
    routes = dict.fromkeys(masked(model).names, 1024)
    before = dict(model.named_modules())
    monkeypatch.setattr(csr_routes, "SHAPES", ((1, 2), (1, 8), (2, 8)))
    monkeypatch.setattr(csr_routes, "interleaved", faked([2.0] * faster + [0.9] * 3))
    assert csr_routes._whole_faster_up_to(model, routes) == most
    assert dict(model.named_modules()) == before
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_whole_pass_is_timed_with_and_without_the_routes() -> None:
    model = tiny_bert().eval()
    routes = dict.fromkeys(masked(model).names, 1024)
    inputs = csr_routes.some_inputs(model, 2, 8)
    with torch.inference_mode(), csr_routes._both_ways(model, routes) as (dense, sparse, rows):
        expected = dense(inputs).logits
        assert not any(isinstance(each, csr.CsrLinear) for each in model.modules())
        found = sparse(inputs).logits
        assert sum(isinstance(each, csr.CsrLinear) for each in model.modules()) == len(routes)
        dense(inputs)
        assert rows() == 16
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
