"""A verdict about masks: with the noise of training in it, which the control's twins show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from rpmask.randomized_masks.verdict import Paired, paired_interval, shrunk_effect, training_noise

ROWS, RIVALS, TRIALS = 200, 7, 120


def false_better(noise: float, twins: int, gain: float = 0.0) -> float:
    """How often the best of some rivals is called better, each trained with noise; errors of rows are 1."""
    called = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng([trial, twins])
        rows = rng.normal(0, 1, ROWS)  # what all have in common

        def trained(gain: float = 0.0, rows: np.ndarray = rows, rng: np.random.Generator = rng):  # type: ignore[no-untyped-def]
            own = rng.normal(0, math.sqrt(ROWS / 2), ROWS)
            return (
                rows
                + own
                - own.mean()
                + rng.normal(0, math.sqrt(0.5))
                + rng.normal(0, noise)
                - gain
            )

        control, *others = (trained() for _ in range(1 + twins))
        best = min((trained(gain if i == 0 else 0.0) for i in range(RIVALS)), key=np.mean)
        found = paired_interval(control, best, twins=others, compared=RIVALS, draws=400)
        called += found.verdict == "better"
    return called / TRIALS


@pytest.mark.parametrize("noise", [0.5, 1.5])
def test_the_best_of_equal_masks_is_seldom_better(noise: float) -> None:
    assert false_better(noise, twins=3) <= 0.05
    assert false_better(noise, twins=0) > 0.05  # as it is without twins


def test_a_mask_that_is_far_better_is_said_to_be() -> None:
    assert false_better(0.5, twins=3, gain=10.0) >= 0.8


def test_the_interval_by_hand() -> None:
    control, twin_a, twin_b = (np.full(100, mean) for mean in (1.0, 1.3, 0.7))
    rival = np.full(100, 0.1)
    found = paired_interval(control, rival, twins=[twin_a, twin_b])
    assert found.effect == pytest.approx(0.9)
    assert found.noise == pytest.approx(0.3)  # of 0.7, 1.0, 1.3
    assert found.error == pytest.approx(0.3 * math.sqrt(1 + 1 / 3))
    reach = student.ppf(0.975, 2) * found.error  # no noise of rows: two degrees of freedom
    assert (found.low, found.high) == pytest.approx((0.9 - reach, 0.9 + reach))


def test_without_twins_it_is_the_bootstrap_s() -> None:
    rng = np.random.default_rng(0)
    control, rival = rng.normal(0, 1, 300), rng.normal(0, 1, 300)
    found = paired_interval(control, rival)
    assert found.noise is None
    means = [(control - rival)[rng.integers(0, 300, 300)].mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.02)


def test_twins_that_end_alike_add_nothing() -> None:
    rng = np.random.default_rng(0)
    control, rival = rng.normal(0, 1, 300), rng.normal(-0.2, 1, 300)
    alike = paired_interval(control, rival, twins=[control, control])
    alone = paired_interval(control, rival)
    assert alike.noise == 0.0
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_training_noise_of_one_is_unknown() -> None:
    assert training_noise([np.ones(5)]) is None
    assert training_noise([np.ones(5), np.full(5, 3.0)]) == pytest.approx(math.sqrt(2))


def test_an_effect_is_shrunk_to_what_may_last() -> None:
    def paired(effect: float, error: float) -> Paired:
        return Paired(effect, effect - 2 * error, effect + 2 * error, 0.95, error)

    noise_alone = [paired(effect, 1.0) for effect in (1.0, -0.5, 0.2)]
    assert shrunk_effect(noise_alone[0], noise_alone) == 0.0
    clear = [paired(effect, 1.0) for effect in (10.0, 8.0, 9.0)]
    prior = (100 + 64 + 81) / 3 - 1
    assert shrunk_effect(clear[0], clear) == pytest.approx(10.0 * prior / (prior + 1))
