"""The packed file: what it holds, how little it takes, and what a damaged one says."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from deploy.small import masked
from faults.forms import short_or_long
from faults.mutations import mutated
from toy import tiny_bert

from rpmask.deploy import packed
from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask

FILES = short_or_long(300, 1500)


def test_fp32_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = tiny_bert()
    mask = masked(model)
    packed.write(model, mask, tmp_path / packed.FILE)
    state, again = packed.read(tmp_path / packed.FILE)
    assert again == mask
    assert set(state) == set(model.state_dict())
    for name, expected in model.state_dict().items():
        assert torch.equal(state[name], expected), name


@pytest.mark.parametrize(("values", "relative"), [("fp16", 2**-11), ("bf16", 2**-8)])
def test_half_precision_rounds_and_keeps_zeros(
    tmp_path: Path, values: str, relative: float
) -> None:
    model = tiny_bert()
    masked(model)
    packed.write(model, masked(model), tmp_path / packed.FILE, values)
    state, _ = packed.read(tmp_path / packed.FILE)
    for name, expected in model.state_dict().items():
        allowed = relative * expected.abs() + 1e-7
        assert ((state[name] - expected).abs() <= allowed).all(), name
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name] == 0, expected == 0), name
    vector = "bert.embeddings.LayerNorm.weight"
    assert torch.equal(state[vector], model.state_dict()[vector])


def test_int8_is_within_half_a_step_of_its_row(tmp_path: Path) -> None:
    model = tiny_bert()
    mask = masked(model)
    packed.write(model, mask, tmp_path / packed.FILE, "int8")
    state, _ = packed.read(tmp_path / packed.FILE)
    for name, expected in model.state_dict().items():
        if expected.ndim < 2:
            assert torch.equal(state[name], expected)
            continue
        step = expected.abs().amax(dim=1, keepdim=True) / 127
        assert ((state[name] - expected).abs() <= 0.5 * step + 1e-7).all(), name
        assert not state[name][expected == 0].any()


def test_int8_by_hand() -> None:
    stored, scale = packed._narrowed(torch.tensor([[1.27, -0.5], [0.0, 0.0]]), "int8")
    assert stored.tolist() == [[127, -50], [0, 0]]
    assert scale is not None
    torch.testing.assert_close(scale, torch.tensor([0.01, 0.0]))


def test_a_matrix_takes_a_tenth_of_its_size(tmp_path: Path) -> None:
    model = tiny_bert(layers=1)
    layer = model.bert.encoder.layer[0].intermediate
    layer.dense = torch.nn.Linear(256, 512)
    keep = torch.from_numpy(np.random.default_rng(0).random((512, 256)) < 1 / 16)
    with torch.no_grad():
        layer.dense.weight *= keep
    mask = Mask.from_bools({"encoder.layer.0.intermediate.dense.weight": keep})
    sizes = packed.write(model, mask, tmp_path / packed.FILE)
    (name,) = sizes.stored
    assert sizes.dense[name] == 4 * 512 * 256
    assert sizes.stored[name] < 0.08 * sizes.dense[name]
    assert (tmp_path / packed.FILE).stat().st_size > sizes.stored[name]


def test_weights_outside_the_mask_are_refused(tmp_path: Path) -> None:
    mask = masked(tiny_bert())
    with pytest.raises(RpmaskError, match="outside its mask"):
        packed.write(tiny_bert(), mask, tmp_path / packed.FILE)
    assert not (tmp_path / packed.FILE).exists()


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """Without the digests of the folder the file's own reader stands alone."""
    model, path = tiny_bert(layers=1), tmp_path / packed.FILE
    mask = masked(model)
    packed.write(model, mask, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    chance, refused = random.Random(0), 0
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for _ in range(FILES):
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(content[:header], chance) + content[header:])
        try:
            state, found = packed.read(path)
        except RpmaskError:
            refused += 1
        else:
            assert found == mask
            assert {name: tensor.shape for name, tensor in state.items()}.keys() != set()
            for name in shapes.keys() & state.keys():
                assert state[name].numel() == shapes[name].numel()
    assert refused > 0.8 * FILES


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.99])
def test_a_file_cut_short(tmp_path: Path, share: float) -> None:
    model, path = tiny_bert(layers=1), tmp_path / packed.FILE
    packed.write(model, masked(model), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RpmaskError, match="damaged"):
        packed.read(path)
