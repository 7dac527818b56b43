"""Mask files: round trips, what the header says, and one clear error for each thing that is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors import safe_open
from safetensors.numpy import save

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, read_header, save_mask
from rpmask.records import MaskRecipe

RECIPE = MaskRecipe(weights_digest="ab" * 32, seed=3, sparsity=0.9)


def some_mask() -> Mask:
    random = np.random.default_rng(0)
    return Mask.from_bools(
        {
            "layer.0.weight": random.random((40, 30)) < 0.1,
            "layer.1.weight": random.random((8, 16)) < 0.5,
            "layer.2.weight": np.repeat(random.random(32) < 0.5, 64).reshape(32, 64),
            "layer.3.weight": random.random((7, 31)) < 0.95,
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mask.safetensors"
    assert save_mask(some_mask(), path, RECIPE) == path.stat().st_size
    return path


def test_round_trip_with_recipe(file: Path) -> None:
    mask = some_mask()
    assert load_mask(file) == mask
    header = read_header(file)
    assert (header.digest, header.recipe, header.extra) == (mask.digest, RECIPE, {})
    assert header.total == mask.total()
    assert header.tensors["layer.0.weight"].shape == (40, 30)
    assert {entry.coding for entry in header.tensors.values()} == {
        "rice",
        "raw",
        "zlib",
        "rice-of-dropped",
    }


def test_nothing_is_left_beside_the_file(file: Path) -> None:
    assert os.listdir(file.parent) == [file.name]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@given(
    st.dictionaries(
        st.text(
            st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
        ).filter(lambda name: name != "__metadata__"),
        arrays(np.bool_, array_shapes(max_dims=4, max_side=9)),
        min_size=1,
        max_size=4,
    )
)
def test_any_mask_comes_back(tmp_path: Path, keep: dict[str, np.ndarray]) -> None:
    mask = Mask.from_bools(keep)
    save_mask(mask, tmp_path / "m")
    assert load_mask(tmp_path / "m") == mask


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> Path:
    """The file again, with its parsed header and codes changed."""
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
        codes = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    header = json.loads(metadata["header"])
    change(header, codes)
    metadata["header"] = json.dumps(header)
    file.write_bytes(save(codes, metadata))
    return file


WRONG: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "digest": (lambda h, c: h.update(digest="0" * 64), "its digest is"),
    "count": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(kept=3),
        "not what the header says",
    ),
    "count above all": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(kept=1201),
        "keeps 1201 weights",
    ),
    "shape": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[30, 40]),
        "its digest is",
    ),
    "other size": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[41, 30]),
        "not what the header says",
    ),
    "absurd size": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[2**45, 2**10]),
        "it claims",
    ),
    "large size": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[2**19, 2**20]),
        "cannot hold",
    ),
    "empty shape": (lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[0, 30]), "keeps"),
    "negative shape": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(shape=[-40, -30]),
        "keeps",
    ),
    "coding": (lambda h, c: h["tensors"]["layer.0.weight"].update(coding="lz"), "no coding 'lz'"),
    "wrong coding": (
        lambda h, c: h["tensors"]["layer.0.weight"].update(coding="zlib"),
        "not deflated bits",
    ),
    "type": (lambda h, c: h["tensors"]["layer.0.weight"].update(kept="3"), "should be int"),
    "missing field": (lambda h, c: h.pop("digest"), "no field 'digest'"),
    "no tensors": (lambda h, c: h.update(tensors={}), "it claims 0 weights|disagree"),
    "header names more": (
        lambda h, c: h["tensors"].update(other={"shape": [8], "kept": 0, "coding": "raw"}),
        "disagree about the tensor 'other'",
    ),
    "content has more": (
        lambda h, c: c.update(other=np.zeros(1, np.uint8)),
        "disagree about the tensor 'other'",
    ),
    "not bytes": (
        lambda h, c: c.update({"layer.0.weight": np.zeros(5, np.float32)}),
        "float32 of 1 dimensions",
    ),
    "shorter code": (
        lambda h, c: c.update({"layer.0.weight": c["layer.0.weight"][:-1]}),
        "not what the header says",
    ),
    "newer schema": (lambda h, c: h.update(schema_version=2), "mask format 2"),
    "recipe": (lambda h, c: h["recipe"].update(seed="x"), "should be int"),
}


@pytest.mark.parametrize("what", WRONG)
def test_whatever_is_wrong_is_said(what: str, file: Path) -> None:
    change, says = WRONG[what]
    with pytest.raises(RpmaskError, match=says) as caught:
        load_mask(rewritten(file, change))
    assert caught.value.hint
    assert str(file) in caught.value.message


def test_files_that_are_no_masks(file: Path) -> None:
    whole = file.read_bytes()
    for content in (b"", whole[:5], whole[:200], whole[:-1], whole + b"x", os.urandom(1000)):
        file.write_bytes(content)
        with pytest.raises(RpmaskError, match="is damaged"):
            load_mask(file)
    file.write_bytes(save({"a": np.zeros(3)}))
    with pytest.raises(RpmaskError, match="not a mask"):
        load_mask(file)
    for header in ("", "{", "[" * 100_000):
        file.write_bytes(save({"a": np.zeros(3)}, {"format": "rpmask.mask", "header": header}))
        with pytest.raises(RpmaskError, match="is damaged: its header is not JSON"):
            load_mask(file)
    for header in ("[]", "null", "3"):
        file.write_bytes(save({"a": np.zeros(3)}, {"format": "rpmask.mask", "header": header}))
        with pytest.raises(RpmaskError, match="is damaged"):
            load_mask(file)
    with pytest.raises(RpmaskError, match="no mask file"):
        load_mask(file.parent / "nothing")
    with pytest.raises(RpmaskError, match="is damaged"):
        load_mask(file.parent)
