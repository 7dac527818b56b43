"""How a sparsity is shared: by hand, and exact for whatever is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.randomized_masks.allocation import allocate, parse_allocation, total_kept
from rpmask.randomized_masks.keep_probability import Histogram


def histogram(*values: float) -> Histogram:
    return Histogram.of(np.array(values, dtype=np.float32))


def test_parse() -> None:
    assert [parse_allocation(text) for text in ("uniform", "global", "0.35")] == [0.0, 1.0, 0.35]
    for text in ("1.5", "-0.1", "nan", "even", ""):
        with pytest.raises(RpmaskError, match=f"allocation '{text}'"):
            parse_allocation(text)


def test_uniform_by_hand() -> None:
    assert allocate({"a": 10, "b": 30}, 0.5) == {"a": 5, "b": 15}
    # 2.5 + 2.5 + 5 of 10: the remainder goes to the first of equals by name.
    assert allocate({"b": 5, "a": 5, "c": 10}, 0.5) == {"a": 3, "b": 2, "c": 5}


SIZES = {"a": 4, "b": 4}
SCORES = {"a": histogram(1, 2, 3, 4), "b": histogram(30, 40, 50, 60)}


def test_global_and_blends_by_hand() -> None:
    def kept(allocation: float, floor: float = 0.0) -> dict[str, int]:
        return allocate(SIZES, 0.5, allocation=allocation, floor=floor, histograms=SCORES)

    assert kept(0.0) == {"a": 2, "b": 2}
    # All four of the largest are in b, but no tensor is cut off.
    assert kept(1.0) == {"a": 1, "b": 3}
    assert kept(1.0, floor=1.0) == {"a": 2, "b": 2}
    assert kept(0.5) == {"a": 1, "b": 3}


def test_one_threshold_is_the_one_that_sorting_finds() -> None:
    random = np.random.default_rng(0)
    scores = {
        name: (random.gamma(2, scale, 5000)).astype(np.float32)
        for name, scale in (("a", 1.0), ("b", 1.7), ("c", 0.4))
    }
    found = allocate(
        {name: values.size for name, values in scores.items()},
        0.9,
        allocation=1.0,
        histograms={name: Histogram.of(values) for name, values in scores.items()},
    )
    cut = np.sort(np.concatenate(list(scores.values())))[-1500]
    for name, values in scores.items():
        assert found[name] == pytest.approx((values >= cut).sum(), abs=3)
    assert sum(found.values()) == 1500


def test_zeros_are_shared_last() -> None:
    scores = {"a": histogram(0, 0, 0, 1), "b": histogram(2, 3, 4, 5)}
    assert allocate(SIZES, 0.25, allocation=1.0, histograms=scores) == {"a": 2, "b": 4}


def test_a_parent_limits_its_tensors() -> None:
    assert allocate(SIZES, 0.5, limits={"a": 1, "b": 4}) == {"a": 1, "b": 3}
    with pytest.raises(RpmaskError, match="keeps 4 units, but the parent mask has 3"):
        allocate(SIZES, 0.5, limits={"a": 1, "b": 2})


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    sparsity=st.floats(0.001, 0.999),
    allocation=st.sampled_from([0.0, 0.3, 1.0]),
    floor=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
    levels=st.integers(1, 50),
    nested=st.booleans(),
)
def test_exact_whatever_is_asked(
    sizes: list[int],
    sparsity: float,
    allocation: float,
    floor: float,
    seed: int,
    levels: int,
    nested: bool,
) -> None:
    random = np.random.default_rng(seed)
    named = {f"t{i}": size for i, size in enumerate(sizes)}
    # Few distinct importances, zero among them: ties everywhere.
    histograms = {
        name: Histogram.of(random.integers(0, levels, size).astype(np.float32) * (i + 1))
        for i, (name, size) in enumerate(named.items())
    }
    assume(round(sum(sizes) * (1.0 - sparsity)))
    wanted = total_kept(sum(sizes), sparsity)
    limits = {name: int(random.integers(0, size + 1)) for name, size in named.items()}
    if not nested or sum(limits.values()) < wanted:
        limits = dict(named)
    found = allocate(
        named,
        sparsity,
        allocation=allocation,
        floor=floor,
        limits=limits,
        histograms=histograms,
    )
    assert sum(found.values()) == wanted
    for name, count in found.items():
        assert 0 <= count <= limits[name]
        if wanted >= len(sizes):
            # Rounding may take the last fraction, never a whole weight.
            least = min(limits[name], max(1.0, floor * wanted / sum(sizes) * named[name]))
            if sum(limits.values()) > wanted and floor < 0.5:
                assert count > least - 1.0


def test_a_sparsity_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(RpmaskError, match="keeps none of 16 units"):
        allocate({"a": 8, "b": 8}, 0.99)
