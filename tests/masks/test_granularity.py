"""Blocks, groups, neurons and heads: what is one unit, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.masks.banks import plan_banks
from rpmask.masks.granularity import (
    Granularity,
    at_sparsity,
    exact_sparsity,
    group_sparsity,
    parse_granularity,
)
from rpmask.masks.tiling import Tiling
from rpmask.masks.weights import Prunable
from rpmask.randomized_masks.group_votes import draw_in_groups, top_in_groups

SIX = np.arange(24.0, dtype=np.float32).reshape(4, 6)  # (out, in)


def test_parse() -> None:
    assert parse_granularity("weight") == Granularity("weight")
    assert parse_granularity("2:4") == Granularity("n:m", 2, 4)
    assert parse_granularity("block 4x16") == Granularity("block", 4, 16)
    assert parse_granularity("neuron").kind == "neuron"
    assert parse_granularity("head").kind == "head"


@pytest.mark.parametrize(
    "text", ["", "4:4", "0:4", "5:4", "block 0x4", "block 4", "2:", "Weight", "block4x4"]
)
def test_what_is_no_granularity(text: str) -> None:
    with pytest.raises(RpmaskError, match=f"granularity '{text}'"):
        parse_granularity(text)


def test_blocks_by_hand() -> None:
    (bank,) = plan_banks("block 2x3", [Prunable("a", (4, 6))])
    assert (bank.units, bank.unit_weights) == (4, 6)
    assert bank.gather({"a": SIX}).tolist() == [
        0 + 1 + 2 + 6 + 7 + 8,
        3 + 4 + 5 + 9 + 10 + 11,
        12 + 13 + 14 + 18 + 19 + 20,
        15 + 16 + 17 + 21 + 22 + 23,
    ]
    kept = bank.spread(np.array([False, True, True, False]))["a"]
    assert kept.astype(int).tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[1, 1, 1, 0, 0, 0]] * 2


def test_a_transposed_tensor_has_the_same_units() -> None:
    linear, conv1d = Prunable("a", (4, 6)), Prunable("a", (6, 4), "conv1d")
    keep = np.array([True, False, False, True])
    for text in ("weight", "block 2x3", "2:3"):
        (bank,), (turned,) = plan_banks(text, [linear]), plan_banks(text, [conv1d])
        assert np.array_equal(bank.gather({"a": SIX}), turned.gather({"a": SIX.T}))
    (bank,), (turned,) = plan_banks("block 2x3", [linear]), plan_banks("block 2x3", [conv1d])
    assert np.array_equal(bank.spread(keep)["a"], turned.spread(keep)["a"].T)


def test_groups_lie_along_the_inputs() -> None:
    kernel = np.arange(2 * 4 * 1 * 3, dtype=np.float32).reshape(2, 4, 1, 3)  # (out, in, h, w)
    (bank,) = plan_banks("2:4", [Prunable("a", (2, 4, 1, 3), "conv2d")])
    assert bank.group == (2, 4)
    groups = bank.gather({"a": kernel}).reshape(-1, 4)
    assert groups[0].tolist() == kernel[0, :, 0, 0].tolist()
    assert groups[1].tolist() == kernel[0, :, 0, 1].tolist()


BERT = "encoder.layer.0."


def layer(width: int = 4, inner: int = 8, heads: int = 2) -> list[Prunable]:
    parts = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }
    return [
        Prunable(f"{BERT}{part}.weight", shape, "linear", heads) for part, shape in parts.items()
    ]


def test_a_neuron_is_a_row_and_a_column() -> None:
    (bank,) = plan_banks("neuron", layer())
    up, down = f"{BERT}intermediate.dense.weight", f"{BERT}output.dense.weight"
    assert (bank.name, bank.units, bank.unit_weights) == (f"{BERT}neurons", 8, 8)
    random = np.random.default_rng(0)
    values = {up: random.random((8, 4)), down: random.random((4, 8))}
    assert np.allclose(bank.gather(values), values[up].sum(axis=1) + values[down].sum(axis=0))
    keep = np.arange(8) == 3
    spread = bank.spread(keep)
    assert set(spread) == {up, down}
    assert np.array_equal(spread[up], np.broadcast_to(keep[:, None], (8, 4)))
    assert np.array_equal(spread[down], np.broadcast_to(keep[None, :], (4, 8)))


def test_a_head_is_rows_of_three_and_columns_of_one() -> None:
    (bank,) = plan_banks("head", layer())
    assert (bank.units, bank.unit_weights) == (2, 32)
    spread = bank.spread(np.array([False, True]))
    rows = np.array([False, False, True, True])
    for part in ("self.query", "self.key", "self.value"):
        assert np.array_equal(
            spread[f"{BERT}attention.{part}.weight"], np.broadcast_to(rows[:, None], (4, 4))
        )
    assert np.array_equal(
        spread[f"{BERT}attention.output.dense.weight"], np.broadcast_to(rows[None, :], (4, 4))
    )


def test_heads_of_a_stacked_tensor() -> None:
    stacked = Prunable("h.0.attn.c_attn.weight", (4, 12), "conv1d", heads=2)  # (in, out)
    output = Prunable("h.0.attn.c_proj.weight", (4, 4), "conv1d", heads=2)
    (bank,) = plan_banks("head", [stacked, output])
    assert (bank.units, bank.unit_weights) == (2, 32)
    spread = bank.spread(np.array([True, False]))
    first = np.array([True, True, False, False])
    assert np.array_equal(spread[stacked.name], np.broadcast_to(np.tile(first, 3), (4, 12)))
    assert np.array_equal(spread[output.name], np.broadcast_to(first[:, None], (4, 4)))
    ones = {stacked.name: np.ones((4, 12)), output.name: np.ones((4, 4))}
    assert bank.gather(ones).tolist() == [32, 32]


def test_structures_that_are_not_there_or_do_not_fit() -> None:
    for text, what in (("neuron", "feed-forward"), ("head", "attention")):
        with pytest.raises(RpmaskError, match=f"No {what} layer is known among the 1 tensors"):
            plan_banks(text, [Prunable("blocks.0.weight", (4, 4))])
    with pytest.raises(RpmaskError, match="cannot be split into 3 heads"):
        plan_banks("head", layer(heads=3))
    with pytest.raises(RpmaskError, match="cannot be split into 0 heads"):
        plan_banks("head", layer(heads=0))
    odd = [*layer()[:-1], Prunable(f"{BERT}output.dense.weight", (4, 6))]
    with pytest.raises(RpmaskError, match="do not have the same units"):
        plan_banks("neuron", odd)


@pytest.mark.parametrize(
    ("text", "says"), [("block 3x2", "4 outputs"), ("block 2x4", "6 inputs"), ("2:4", "6 inputs")]
)
def test_shapes_that_do_not_divide(text: str, says: str) -> None:
    with pytest.raises(RpmaskError, match=rf"The {says} of 'a' \(4, 6\) do not divide"):
        plan_banks(text, [Prunable("a", (4, 6))])


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_spreading_is_what_gathering_sums(
    rows: int, columns: int, down: int, across: int, repeats: int, transposed: bool
) -> None:
    shape = (rows * down * repeats, columns * across)
    tensor = Prunable(
        "a", shape[::-1] if transposed else shape, "conv1d" if transposed else "linear"
    )
    tiling = Tiling(tensor, rows, columns, repeats)
    for unit in range(tiling.units):
        keep = np.arange(tiling.units) == unit
        sums = tiling.sum(tiling.spread(keep).astype(np.float32))
        assert np.array_equal(sums, keep * float(rows * columns * repeats))


@given(
    st.integers(0, 9),
    st.sampled_from([(1, 2), (2, 4), (7, 8), (8, 16), (69, 70)]),
    st.sampled_from([0.0, 1e-4, 0.2, 5.0]),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_group_keeps_exactly_n(
    seed: int, group: tuple[int, int], temperature: float, votes: int, nested: bool
) -> None:
    kept, size = group
    random = np.random.default_rng(seed)
    # Few values: ties and zeros in nearly every group.
    scores = random.integers(0, 3, (20, size)).astype(np.float32)
    allowed = None
    if nested:
        allowed = top_in_groups(random.random((20, size)), size - 1, random)
    keep = draw_in_groups(scores, kept, temperature, votes, random, allowed=allowed)
    assert (keep.sum(axis=1) == kept).all()
    possible = np.ones_like(keep) if allowed is None else allowed
    assert not (keep & ~possible).any()
    # A weight of no importance is kept only where the others do not suffice.
    positive = (possible & (scores > 0)).sum(axis=1)
    idle = (keep & (scores == 0)).sum(axis=1)
    assert np.array_equal(idle, np.maximum(0, kept - positive))


def test_cold_groups_keep_the_largest() -> None:
    random = np.random.default_rng(0)
    scores = random.random((500, 4)).astype(np.float32)
    expected = np.argsort(np.argsort(scores, axis=1), axis=1) >= 2
    for temperature in (0.0, 1e-8):
        assert np.array_equal(draw_in_groups(scores, 2, temperature, 9, random), expected)


@pytest.mark.parametrize(
    ("text", "sparsity", "found"),
    [("2:4", 0.25, "3:4"), ("1:3", 0.6667, "1:3"), ("weight", 0.3, "weight"), ("2:4", 0.5, "2:4")],
)
def test_groups_on_the_way(text: str, sparsity: float, found: str) -> None:
    assert at_sparsity(text, sparsity) == found
    exact = exact_sparsity(text, sparsity)
    assert exact == pytest.approx(sparsity, abs=1e-4)
    assert group_sparsity(found) in (None, exact)


@pytest.mark.parametrize(
    ("text", "sparsity", "says"),
    [("2:4", 0.3, "keeps no whole number of every 4 weights"), ("16:32", 0.99, "of every 32")],
)
def test_sparsities_that_groups_do_not_have(text: str, sparsity: float, says: str) -> None:
    with pytest.raises(RpmaskError, match=says) as refused:
        at_sparsity(text, sparsity)
    assert ("0.25, 0.5, 0.75" if text == "2:4" else "multiples of 1/32") in str(refused.value.hint)
