"""Masks in memory: by hand, and as properties of the packed bits."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.records import TensorCount

bools = arrays(np.bool_, array_shapes(min_dims=1, max_dims=4, max_side=7))


def two() -> Mask:
    return Mask.from_bools(
        {
            "b": torch.tensor([[True, False, False], [True, True, False]]),
            "a": torch.tensor([False] * 9 + [True]),
        }
    )


def test_by_hand() -> None:
    mask = two()
    assert mask.names == ("a", "b")
    assert (mask.shape("b"), mask.kept("b"), mask.total("b")) == ((2, 3), 3, 6)
    assert (mask.kept(), mask.total(), mask.sparsity) == (4, 16, 0.75)
    assert mask.counts() == {"a": TensorCount(1, 10), "b": TensorCount(3, 6)}
    assert repr(mask) == f"Mask(2 tensors, 75.00% sparse, {mask.digest[:12]})"
    assert mask.keep("b").dtype == torch.bool
    assert mask.keep("b").tolist() == [[True, False, False], [True, True, False]]
    assert mask.bits["b"].tolist() == [0b10011000]


def test_the_digest_is_what_the_format_says() -> None:
    digest = hashlib.sha256(b"rpmask.mask\n")
    digest.update(b'["a",[10]]\n' + bytes([0, 0b01000000]))
    digest.update(b'["b",[2,3]]\n' + bytes([0b10011000]))
    assert two().digest == digest.hexdigest()


def test_equal_masks_have_equal_digests_and_others_do_not() -> None:
    mask = two()
    turned = Mask.from_bools({name: mask.keep(name) for name in reversed(mask.names)})
    assert mask == turned
    assert len({mask, turned}) == 1
    assert mask != Mask.from_bools({"a": mask.keep("a"), "b": ~mask.keep("b")})
    assert mask != Mask.from_bools({"a": mask.keep("a"), "c": mask.keep("b")})
    assert mask != Mask.from_bools({"a": mask.keep("a"), "b": mask.keep("b").reshape(3, 2)})
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_overlap_and_nesting() -> None:
    full, none = np.ones(10, bool), np.zeros(10, bool)
    first = Mask.from_bools({"a": np.arange(10) < 4})
    second = Mask.from_bools({"a": (np.arange(10) >= 2) & (np.arange(10) < 8)})
    assert first.overlap(second) == 0.5
    assert second.overlap(first) == 2 / 6
    both = Mask.from_bools({"a": first.keep("a") & second.keep("a")})
    assert first.contains(both)
    assert second.contains(both)
    assert not first.contains(second)
    assert Mask.from_bools({"a": full}).contains(first)
    assert Mask.from_bools({"a": none}).overlap(first) == 1.0


def test_masks_of_other_tensors_cannot_be_compared() -> None:
    mask = two()
    with pytest.raises(RpmaskError, match="not of the same tensors"):
        mask.overlap(Mask.from_bools({"a": mask.keep("a")}))
    with pytest.raises(RpmaskError, match="not of the same tensors"):
        mask.contains(Mask.from_bools({"a": mask.keep("a"), "b": mask.keep("b").T}))
    with pytest.raises(RpmaskError, match="no tensor 'c'"):
        mask.keep("c")


def test_bits_that_do_not_fit_are_refused() -> None:
    good = np.array([0b10000000], np.uint8)
    for bits, shape in ((good, (9,)), (good.astype(np.int64), (8,)), (good[None], (8,))):
        with pytest.raises(RpmaskError, match="do not fit"):
            Mask({"a": bits}, {"a": shape})
    with pytest.raises(RpmaskError, match="after its last weight"):
        Mask({"a": np.array([0b00000001], np.uint8)}, {"a": (7,)})
    with pytest.raises(RpmaskError, match="bits and the shape"):
        Mask({"a": good}, {"b": (8,)})


def test_bits_cannot_be_changed_behind_the_digest() -> None:
    mask = two()
    with pytest.raises(ValueError, match="read-only"):
        mask.bits["a"][0] = 255


@given(bools)
def test_pack_and_unpack(keep: np.ndarray) -> None:
    mask = Mask.from_bools({"a": keep})
    assert np.array_equal(mask.keep("a").numpy(), keep)
    assert mask.kept() == keep.sum()
    assert mask.shape("a") == keep.shape


@given(st.data(), array_shapes(max_dims=2, max_side=12))
def test_comparing_bits_is_comparing_booleans(data: st.DataObject, shape: tuple[int, ...]) -> None:
    left, right = data.draw(arrays(np.bool_, shape)), data.draw(arrays(np.bool_, shape))
    one, other = Mask.from_bools({"a": left}), Mask.from_bools({"a": right})
    assert one.contains(other) == (not (right & ~left).any())
    if left.any():
        assert one.overlap(other) == (left & right).sum() / left.sum()
