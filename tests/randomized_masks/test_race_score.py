"""The scaling that takes confidence out of a comparison."""

from __future__ import annotations

import numpy as np

from rpmask.randomized_masks.race_score import calibrated_distances, calibrated_losses


def spoken(right: int, wrong: int, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a model that is right so often, and always equally sure."""
    labels = np.zeros(right + wrong, dtype=np.int64)
    logits = np.zeros((right + wrong, 2))
    logits[:right, 0] = sure
    logits[right:, 1] = sure
    return logits, labels


def test_what_a_model_can_tell_apart_decides_and_not_how_sure_it_is() -> None:
    means = [calibrated_losses(*spoken(75, 25, sure)).mean() for sure in (0.1, 1.0, 8.0, 60.0)]
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(means, entropy, atol=1e-4)


def test_a_model_that_knows_nothing_gets_the_loss_of_a_guess() -> None:
    loss = calibrated_losses(*spoken(50, 50, 5.0))
    np.testing.assert_allclose(loss.mean(), np.log(2), atol=1e-3)


def test_an_overconfident_good_model_beats_a_bad_one_that_hedges() -> None:
    good, bad = spoken(70, 30, 10.0), spoken(55, 45, 0.1)
    raw = np.log(1 + np.exp(10.0)) * 0.3
    assert raw > np.log(2)  # on the raw loss it would lose even to a guess
    assert calibrated_losses(*good).mean() < calibrated_losses(*bad).mean()


def test_what_answers_alike_is_at_no_distance_however_sure() -> None:
    theirs = np.random.default_rng(0).normal(size=(50, 3))
    for sure in (0.2, 1.0, 5.0):
        np.testing.assert_allclose(calibrated_distances(sure * theirs, theirs), 0.0, atol=1e-3)


def test_a_guess_is_as_far_as_the_other_one_knows() -> None:
    theirs = np.log(np.array([[0.9, 0.1], [0.1, 0.9]]))
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    far = calibrated_distances(np.zeros((2, 2)), theirs)
    np.testing.assert_allclose(far, np.log(2) - entropy)


def test_the_nearer_of_two_is_the_one_that_agrees_more() -> None:
    theirs = np.random.default_rng(0).normal(size=(200, 2))
    noise = np.random.default_rng(1).normal(size=(200, 2))
    near, far = (calibrated_distances(theirs + s * noise, theirs).mean() for s in (0.5, 2.0))
    assert 0 < near < far


def test_logits_are_left_as_they_were() -> None:
    logits, labels = spoken(3, 2, 4.0)
    before = logits.copy()
    calibrated_losses(logits, labels)
    np.testing.assert_array_equal(logits, before)
