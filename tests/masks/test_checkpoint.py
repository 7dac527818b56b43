"""Weights read from folders: prefixes, shards, and files that are not right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from masks.test_prunable import FAMILIES, build
from safetensors.torch import save_file
from toy import tiny_bert

from rpmask.errors import RpmaskError
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"ViT"}))  # whose file has other names
@pytest.mark.parametrize("headless", [False, True])
def test_reads_what_save_pretrained_writes(family: str, headless: bool, tmp_path: Path) -> None:
    model = build(family, device="cpu")
    (model.base_model if headless else model).save_pretrained(tmp_path)
    tensors, source = find_prunable(model), SafetensorsWeights(tmp_path)
    for tensor in tensors:
        assert source.holds(tensor.name, tensor.shape)
        assert not source.holds(tensor.name, (*tensor.shape, 1))
    assert weights_digest(source, tensors) == weights_digest(TensorWeights(model), tensors)


def test_reads_shards(tmp_path: Path) -> None:
    model = tiny_bert()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    tensors = find_prunable(model)
    expected = weights_digest(TensorWeights(model), tensors)
    assert weights_digest(SafetensorsWeights(tmp_path), tensors) == expected
    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(RpmaskError, match="not there"):
        SafetensorsWeights(tmp_path)


def test_reads_half_precision_as_stored(tmp_path: Path) -> None:
    save_file(
        {"bert.a.weight": torch.ones(2, 3, dtype=torch.bfloat16)}, tmp_path / "one.safetensors"
    )
    assert SafetensorsWeights(tmp_path / "one.safetensors").load("a.weight").dtype == torch.bfloat16


def test_a_name_that_could_be_several(tmp_path: Path) -> None:
    file = tmp_path / "two.safetensors"
    save_file({"left.a.weight": torch.ones(1), "right.a.weight": torch.ones(1)}, file)
    with pytest.raises(RpmaskError, match=r"several tensors that could be 'a\.weight'"):
        SafetensorsWeights(file).load("a.weight")
    with pytest.raises(RpmaskError, match=r"no tensor 'b\.weight'"):
        SafetensorsWeights(file).load("b.weight")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file at all", b"\xff" * 64])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(RpmaskError, match="cannot be read"):
        SafetensorsWeights(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}']
)
def test_a_damaged_index(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(RpmaskError, match="cannot be read"):
        SafetensorsWeights(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(RpmaskError, match="holds no") as caught:
        SafetensorsWeights(tmp_path)
    assert "save_pretrained" in caught.value.hint
