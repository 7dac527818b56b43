"""The bit coder: every mask comes back, and in the promised number of bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpmask.masks.bit_coding import RAW, RICE, RICE_OF_DROPPED, ZLIB, CodingError, decode, encode


def packed(weights: int, density: float, seed: int = 0) -> np.ndarray:
    return np.packbits(np.random.default_rng(seed).random(weights) < density)


def code_of(bits: np.ndarray, weights: int) -> tuple[str, bytes, int]:
    kept = int(np.bitwise_count(bits).sum())
    coding, code = encode(bits, weights, kept)
    assert np.array_equal(decode(coding, code, weights, kept), bits)
    return coding, code, kept


@pytest.mark.parametrize(
    ("density", "bits_a_weight", "coding"),
    [
        (0.0625, 0.35, RICE),
        (0.46, 1.0, RAW),
        (0.9375, 0.35, RICE_OF_DROPPED),
        (0.01, 0.084, RICE),
        (0.001, 0.0125, RICE),
        (0.0, 0.0011, RICE),
        (1.0, 0.0011, RICE_OF_DROPPED),
    ],
)
def test_random_bits_near_their_entropy(density: float, bits_a_weight: float, coding: str) -> None:
    weights = 500_000
    found, code, _ = code_of(packed(weights, density), weights)
    assert found == coding
    assert len(code) * 8 / weights <= bits_a_weight


def test_structure_is_left_to_zlib() -> None:
    rows = np.packbits(np.repeat(np.random.default_rng(0).random(768) < 0.5, 768))
    coding, code, _ = code_of(rows, 768 * 768)
    assert coding == ZLIB
    assert len(code) < 4000


@given(st.integers(1, 5000), st.floats(0, 1), st.integers(0, 9), st.integers(1, 40))
def test_round_trip(weights: int, density: float, seed: int, run: int) -> None:
    random = np.random.default_rng(seed).random(weights // run + 1) < density
    code_of(np.packbits(np.repeat(random, run)[:weights]), weights)


@pytest.mark.parametrize("density", [0.001, 0.0625, 0.5, 0.95])
def test_a_code_for_other_numbers_is_refused(density: float) -> None:
    weights = 20_000
    coding, code, kept = code_of(packed(weights, density), weights)
    for other_weights, other_kept in (
        (weights, kept - 1),
        (weights, kept + 1),
        (weights - 8, kept),
        (weights + 8, kept),
        (weights, weights + 1),
        (weights, -1),
        (weights * 2000, kept),
        (10**17, kept),
    ):
        with pytest.raises(CodingError):
            decode(coding, code, other_weights, other_kept)
    for other_code in (code[:-1], code + b"\0", b"", code[1:]):
        with pytest.raises(CodingError):
            decode(coding, other_code, weights, kept)
    with pytest.raises(CodingError, match="no coding 'huffman'"):
        decode("huffman", code, weights, kept)


def test_a_bomb_is_not_inflated() -> None:
    import zlib

    bomb = zlib.compress(bytes(50_000_000), 9)
    with pytest.raises(CodingError, match="too short or too long"):
        decode(ZLIB, bomb, 80_000, 0)


def test_bits_after_the_last_weight_are_refused() -> None:
    with pytest.raises(CodingError, match="after the last weight"):
        decode(RAW, bytes([0b11111111]), 7, 7)
