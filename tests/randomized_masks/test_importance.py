"""Importances by hand, statistics on disk, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rpmask.errors import RpmaskError
from rpmask.masks.weights import Prunable
from rpmask.randomized_masks.importance import Statistics, score

WEIGHT = torch.tensor([[1.0, -2.0, 3.0], [0.0, 5.0, -6.0]])  # (out, in)
OTHER = torch.tensor([[1.0, 0.5, -1.0], [7.0, 0.1, 2.0]])


def test_by_hand() -> None:
    assert score("magnitude", WEIGHT).tolist() == [[1, 2, 3], [0, 5, 6]]
    norms = torch.tensor([1.0, 2.0, 0.5])
    assert score("wanda", WEIGHT, norms).tolist() == [[1, 4, 1.5], [0, 10, 3]]
    assert score("sparsegpt", WEIGHT, norms).tolist() == [[1, 8, 4.5], [0, 50, 18]]
    assert score("taylor", WEIGHT, OTHER).tolist() == [[1, 1, 3], [0, 0.5, 12]]
    squares = OTHER.square()
    expected = WEIGHT.square() * squares
    assert np.array_equal(score("fisher", WEIGHT, squares), expected)


def test_wanda_knows_where_the_inputs_are() -> None:
    norms = torch.tensor([1.0, 2.0, 0.5])
    conv1d = Prunable("a", (3, 2), "conv1d")  # (in, out)
    assert np.array_equal(
        score("wanda", WEIGHT.T, norms, tensor=conv1d), score("wanda", WEIGHT, norms).T
    )
    conv2d = Prunable("a", (2, 3, 1, 2), "conv2d")  # (out, in, height, width)
    kernel = WEIGHT[:, :, None, None].expand(2, 3, 1, 2)
    found = score("wanda", kernel, norms, tensor=conv2d)
    assert np.array_equal(found[..., 0, 1], score("wanda", WEIGHT, norms))


def test_half_precision_is_scored_in_single() -> None:
    found = score("taylor", WEIGHT.bfloat16(), OTHER.bfloat16())
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["magnitude", "taylor"])
def test_not_finite_weights_are_refused_by_name(kind: str, bad: float) -> None:
    weight = WEIGHT.clone()
    weight[1, 1] = bad
    with pytest.raises(RpmaskError, match=r"'layers\.3\.weight' has NaN"):
        score(kind, weight, OTHER, tensor=Prunable("layers.3.weight", (2, 3)))


def test_negative_squares_are_refused() -> None:
    with pytest.raises(RpmaskError, match="negative"):
        score("fisher", WEIGHT, -OTHER.square())


def test_statistics_that_do_not_fit() -> None:
    with pytest.raises(RpmaskError, match=r"shape \(2, 3\), expected \(3,\)"):
        score("wanda", WEIGHT, OTHER)
    with pytest.raises(RpmaskError, match=r"shape \(3, 2\), expected \(2, 3\)"):
        score("fisher", WEIGHT, OTHER.T)
    with pytest.raises(RpmaskError, match="needs statistics"):
        score("taylor", WEIGHT)
    with pytest.raises(RpmaskError, match="no importance 'size'"):
        score("size", WEIGHT)


def test_statistics_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "s.safetensors"
    made = Statistics.of("fisher", {"b": OTHER.square(), "a": WEIGHT.square()})
    assert made.save(file) == file.stat().st_size
    read = Statistics.load(file)
    assert (read.kind, read.digest) == ("fisher", made.digest)
    assert torch.equal(read.tensors["a"], WEIGHT.square())
    # Kind, names and values all count; order does not.
    assert Statistics.of("fisher", dict(reversed(made.tensors.items()))).digest == made.digest
    assert Statistics.of("taylor", made.tensors).digest != made.digest
    assert Statistics.of("fisher", {"b": OTHER.square()}).digest != made.digest


def test_damaged_statistics_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.safetensors"
    made = Statistics.of("wanda", {"a": torch.ones(3)})
    made.save(file)
    values = load_file(file)
    save_file(
        {"a": values["a"] * 2},
        file,
        {"format": "rpmask.statistics", "kind": "wanda", "digest": made.digest},
    )
    with pytest.raises(RpmaskError, match="do not have the digest"):
        Statistics.load(file)
    save_file(values, file)
    with pytest.raises(RpmaskError, match="holds no importance statistics"):
        Statistics.load(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RpmaskError, match="cannot be read"):
        Statistics.load(file)
    with pytest.raises(RpmaskError, match="cannot be read"):
        Statistics.load(tmp_path / "missing")
    with pytest.raises(RpmaskError, match="statistics of 'a' has NaN"):
        Statistics.of("wanda", {"a": torch.tensor([float("nan")])})
