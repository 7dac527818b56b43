"""What is registered is what was trained, and the better model is champion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_points import KEY
from toy import TOY_TASK
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from rpmask.errors import RpmaskError, RunFailed
from rpmask.tracking import register_model as register_module
from rpmask.tracking.open_run import open_run
from rpmask.tracking.register_model import register, writer_of
from rpmask.tracking.registry import fetch
from rpmask.tracking.tracker import Tracker
from rpmask.train.models import load_classifier

IMAGES = replace(TOY_TASK, inputs="image")


def tiny_vit() -> ViTForImageClassification:
    """Its layers are named anew by transformers; its files keep the published names."""
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_labels=2,
    )
    return ViTForImageClassification(config)


def test_a_vit_is_registered_and_read_back(tmp_path: Path) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "images", folder=tmp_path / ".rpmask")
    model, processor = tiny_vit(), ViTImageProcessor(size={"height": 8, "width": 8})
    with open_run(tracker, KEY) as run:
        found = register(
            run,
            writer_of(model, processor),
            IMAGES,
            max_length=128,
            tags={},
            description="",
            aliases=(),
        )
    assert found == {"name": "rpmask-toy", "version": 1, "alias": None}


@pytest.mark.parametrize(
    "layer", ["classifier.weight", "attention.query.weight", "output.dense.bias"]
)
def test_a_weight_that_changed_on_the_way_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    def damaged(tracker: Tracker, source: str) -> str:
        folder = fetch(tracker, source)
        file = Path(folder) / "model" / "model.safetensors"
        stored = load_file(file)
        name = next(name for name in stored if name.endswith(layer))
        stored[name] = torch.nextafter(stored[name], torch.tensor(1e3))
        save_file(stored, file, metadata={"format": "pt"})
        return folder

    monkeypatch.setattr(register_module, "fetch", damaged)
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "images", folder=tmp_path / ".rpmask")
    write = writer_of(tiny_vit(), ViTImageProcessor(size={"height": 8, "width": 8}))
    with (
        pytest.raises(RunFailed, match="does not hold the files"),
        open_run(tracker, KEY) as run,
    ):
        register(run, write, IMAGES, max_length=128, tags={}, description="", aliases=("champion",))
    with pytest.raises(RpmaskError, match="no model"):
        fetch(tracker, "models:/rpmask-toy@champion")


def test_what_was_registered_holds_the_weights(tmp_path: Path) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "images", folder=tmp_path / ".rpmask")
    model = tiny_vit()
    write = writer_of(model, ViTImageProcessor(size={"height": 8, "width": 8}))
    with open_run(tracker, KEY) as run:
        register(run, write, IMAGES, max_length=128, tags={}, description="", aliases=())
    found = load_classifier(fetch(tracker, "models:/rpmask-toy/1"), IMAGES).state_dict()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
