"""The sampler of one tensor: exact counts, ties, zeros, and the clock it turns on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rpmask.randomized_masks import vote_sampler as votes_module
from rpmask.randomized_masks.draws import pick, top_k
from rpmask.randomized_masks.keep_probability import Histogram, solve_clock
from rpmask.randomized_masks.vote_sampler import VoteSampler


@settings(deadline=None)
@given(
    weights=st.integers(1, 300),
    density=st.floats(0, 1),
    temperature=st.sampled_from([0.0, 1e-6, 0.05, 0.2, 1.0, 1e6]),
    votes=st.integers(1, 50),
    values=st.integers(1, 40),
    seed=st.integers(0, 1000),
    one_pass=st.booleans(),
)
def test_exact_counts_and_zeros_last(
    weights: int,
    density: float,
    temperature: float,
    votes: int,
    values: int,
    seed: int,
    one_pass: bool,
) -> None:
    random = np.random.default_rng(seed)
    scores = (random.integers(0, values, weights) * 10.0 ** random.integers(-30, 6)).astype(
        np.float32
    )
    kept = round(weights * density)
    with pytest.MonkeyPatch.context() as patch:
        if one_pass:
            patch.setattr(votes_module, "EXACT", 0)
            patch.setattr(votes_module, "FEW", 0)
        keep = VoteSampler(scores).draw(kept, temperature, votes, random)
    assert keep.sum() == kept
    assert (keep & (scores == 0)).sum() == max(0, kept - np.count_nonzero(scores))


def test_top_k_breaks_ties_evenly() -> None:
    values = np.array([5, 1, 1, 1, 1, 0], dtype=np.float32)
    random, counts = np.random.default_rng(0), np.zeros(6)
    for _ in range(4000):
        keep = top_k(values, 3, random)
        assert keep.sum() == 3
        counts += keep
    assert (counts[0], counts[5]) == (4000, 0)
    assert stats.chisquare(counts[1:5]).pvalue > 1e-3


def test_pick_is_even_and_exact() -> None:
    random = np.random.default_rng(1)
    counts = np.bincount(np.concatenate([pick(6, 2, random) for _ in range(6000)]), minlength=6)
    assert counts.sum() == 12_000
    assert stats.chisquare(counts).pvalue > 1e-3
    assert pick(3, 3, random).tolist() == [0, 1, 2]
    assert pick(3, 0, random).size == 0


def test_the_deterministic_mask_uses_no_randomness_without_ties() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(np.float32)
    masks = [VoteSampler(scores).draw(100, 0.0, 9, np.random.default_rng(i)) for i in range(2)]
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], scores >= 900)


@given(st.integers(0, 99), st.floats(0.05, 0.95), st.sampled_from([0.1, 0.2, 1.0, 30.0]))
def test_the_clock_takes_as_many_as_are_kept(seed: int, density: float, temperature: float) -> None:
    random = np.random.default_rng(seed)
    scores = np.exp(random.normal(0, 2, 3000)).astype(np.float32)
    kept = round(3000 * density)
    clock = solve_clock(Histogram.of(scores), kept, temperature)
    # Weight by weight, not by bins: a bin is 0.1 % wide, so the sums agree to about that.
    expected = clock.probability(np.log(scores.astype(np.float64))).sum()
    assert expected == pytest.approx(kept, rel=2e-3)


def test_a_histogram_counts_everything_once() -> None:
    scores = np.array([0.0, 0.0, 1e-45, 1.0, 1.0, 1.0001, 3e38], dtype=np.float32)
    histogram = Histogram.of(scores)
    assert histogram.zeros == 2
    assert histogram.counts.tolist() == [1, 3, 1]
    assert np.allclose(histogram.log_centres[1:], np.log([1.0, 3e38]), atol=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 0.2])
@pytest.mark.parametrize("votes", [27, 110])
def test_an_early_decision_is_never_wrong(temperature: float, votes: int) -> None:
    scores = np.abs(np.random.default_rng(2).standard_normal(60_000)).astype(np.float32)
    sampler = VoteSampler(scores)
    drawn = [sampler.draw(6000, temperature, votes, np.random.default_rng(i)) for i in range(5)]
    assert (drawn[0] != drawn[1]).any()
    ((key, window),) = sampler._windows.items()
    assert key == (6000, temperature, votes)
    assert 0 < window.undecided.size < 0.7 * scores.size
    clock = solve_clock(Histogram.of(scores), 6000, temperature)
    chances = clock.probability(np.log(scores.astype(np.float64)))
    dropped = ~window.certain
    dropped[window.undecided] = False
    first, last = window.cuts
    # Decided weights lie beyond the first and the last cut, with a probability of error below 1e-10.
    assert stats.binom.cdf(last, votes, chances[window.certain]).max() < 1e-10
    assert stats.binom.sf(first - 1, votes, chances[dropped]).max() < 1e-10
    assert first + 1 < window.cut < last - 1
