"""What travels to another machine is what lies on this one: the same weights, and the same masks, proved."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import TOY_TASK, tiny_bert

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.randomized_masks.race_models import Carried, Drawing, OnDisk
from rpmask.records import MaskRecipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_bert().save_pretrained(tmp_path)
    return tmp_path


def drawing() -> tuple[Drawing, list[Mask]]:
    """A magnitude mask and a random one around a second-order centre, inside a parent."""
    model = tiny_bert()
    tensors, weights = find_prunable(model), TensorWeights(model)
    base = MaskRecipe(weights_digest(weights, tensors), seed=0, sparsity=0.5, temperature=0.0)
    parent = draw_masks([base], weights, tensors)[0]
    squares = {tensor.name: weights.load(tensor.name) ** 2 for tensor in tensors}
    fisher = Statistics.of("fisher", squares)
    inside = replace(base, parent=parent.digest, sparsity=0.8)
    noisy = replace(inside, importance="fisher", importance_digest=fisher.digest, temperature=0.3)
    recipes = (inside, replace(noisy, seed=5))
    masks = draw_masks(recipes, weights, tensors, statistics={"fisher": fisher}, parent=parent)
    arrays = {name: tensor.numpy() for name, tensor in fisher.tensors.items()}
    digests = tuple(mask.digest for mask in masks)
    return Drawing(recipes, digests, tensors, {"fisher": arrays}, parent), masks


@pytest.mark.parametrize(
    "as_it_is", [{"attentions": False, "dropout": None}, {"attentions": True, "dropout": 0.0}]
)
def test_carried_is_what_lies_on_disk(folder: Path, as_it_is: dict[str, Any]) -> None:
    how, masks = drawing()
    carried = pickle.loads(pickle.dumps(Carried.of(str(folder), str(folder), TOY_TASK, how)))
    on_disk = OnDisk(str(folder), str(folder), TOY_TASK, tuple(masks))
    here, start = on_disk.opened(**as_it_is)
    there, carried_start = carried.opened(**as_it_is)
    assert type(here) is type(there)
    assert here.config.to_dict() == there.config.to_dict()
    assert here.config._attn_implementation == there.config._attn_implementation
    assert start.keys() == carried_start.keys() == there.state_dict().keys()
    for name, value in there.state_dict().items():
        assert torch.equal(value, start[name]), name
        assert torch.equal(value, carried_start[name]), name
    for (name, one), (_, other) in zip(here.named_buffers(), there.named_buffers(), strict=True):
        assert torch.equal(one, other), name  # those that are in no checkpoint too
    assert [carried.mask(i).digest for i in (1, 0, 1)] == [masks[i].digest for i in (1, 0, 1)]


def test_the_dense_model_travels_beside_the_weights_of_the_level(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dense = tiny_bert()
    with torch.no_grad():
        dense.classifier.bias.add_(1.0)
    dense.save_pretrained(other := tmp_path_factory.mktemp("dense"))
    for start, teacher, expected in ((folder, other, dense), (folder, folder, tiny_bert())):
        carried = Carried.of(str(start), str(teacher), TOY_TASK, drawing()[0])
        for contenders in (
            OnDisk(str(start), str(teacher), TOY_TASK, ()),
            pickle.loads(pickle.dumps(carried)),
        ):
            found = contenders.teacher(attentions=False).state_dict()
            assert all(torch.equal(found[k], v) for k, v in expected.state_dict().items())


def test_training_leaves_the_starting_weights_as_they_are(folder: Path) -> None:
    for contenders in (
        OnDisk(str(folder), str(folder), TOY_TASK, ()),
        Carried.of(str(folder), str(folder), TOY_TASK, drawing()[0]),
    ):
        model, start = contenders.opened(attentions=False, dropout=None)
        before = {name: value.clone() for name, value in start.items()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        assert all(torch.equal(start[name], value) for name, value in before.items())


def test_another_mask_than_the_pools_is_not_raced(folder: Path) -> None:
    how, _ = drawing()
    swapped = replace(how, digests=(how.digests[1], how.digests[0]))
    with pytest.raises(RunFailed, match="Candidate 0 redrawn on a worker is"):
        Carried.of(str(folder), str(folder), TOY_TASK, swapped).mask(0)


def test_a_worker_with_other_versions_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = Carried.of(str(folder), str(folder), TOY_TASK, drawing()[0])
    monkeypatch.setattr("rpmask.randomized_masks.race_models.version", lambda name: "0.1")
    with pytest.raises(RpmaskError, match=r"A worker has torch 0\.1; the race was started with"):
        carried.opened(attentions=False, dropout=None)
