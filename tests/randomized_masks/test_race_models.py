"""Models shipped to another machine are the models of this machine's folders."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import TOY_TASK, tiny_bert

from rpmask.errors import RpmaskError
from rpmask.randomized_masks.race_models import ModelFolders, ShippedModels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_bert().save_pretrained(tmp_path)
    return tmp_path


def both(start: Path, dense: Path) -> tuple[ModelFolders, ShippedModels]:
    shipped = ShippedModels.of(str(start), str(dense), TOY_TASK)
    return ModelFolders(str(start), str(dense), TOY_TASK), pickle.loads(pickle.dumps(shipped))


@pytest.mark.parametrize(
    "how", [{"attentions": False, "dropout": None}, {"attentions": True, "dropout": 0.0}]
)
def test_shipped_models_are_those_of_the_folders(folder: Path, how: dict[str, Any]) -> None:
    (here, start), (there, shipped) = (models.start(**how) for models in both(folder, folder))
    assert type(here) is type(there)
    assert here.config.to_dict() == there.config.to_dict()
    assert here.config._attn_implementation == there.config._attn_implementation
    assert start.keys() == shipped.keys() == there.state_dict().keys()
    for name, value in there.state_dict().items():
        assert torch.equal(value, start[name]), name
        assert torch.equal(value, shipped[name]), name
    for (name, one), (_, other) in zip(here.named_buffers(), there.named_buffers(), strict=True):
        assert torch.equal(one, other), name  # those that are in no checkpoint too


def test_the_dense_model_is_shipped_with_the_weights_of_the_level(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dense = tiny_bert()
    with torch.no_grad():
        dense.classifier.bias.add_(1.0)
    dense.save_pretrained(other := tmp_path_factory.mktemp("dense"))
    for start, teacher, expected in ((folder, other, dense), (folder, folder, tiny_bert())):
        for models in both(start, teacher):
            found = models.dense(attentions=False).state_dict()
            assert all(torch.equal(found[k], v) for k, v in expected.state_dict().items())


def test_training_leaves_the_starting_weights_as_they_are(folder: Path) -> None:
    for models in both(folder, folder):
        model, start = models.start(attentions=False, dropout=None)
        before = {name: value.clone() for name, value in start.items()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        assert all(torch.equal(start[name], value) for name, value in before.items())


def test_a_worker_with_other_versions_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shipped = both(folder, folder)
    monkeypatch.setattr("rpmask.randomized_masks.race_models.version", lambda name: "0.1")
    with pytest.raises(RpmaskError, match=r"A worker has torch 0\.1; the race was started with"):
        shipped.start(attentions=False, dropout=None)
