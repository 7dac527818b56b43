"""A copied model is the model that loading, masking and saving gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, find_prunable
from rpmask.tasks.builtin import demo_model_dir
from rpmask.tasks.registry import get_spec
from rpmask.tasks.spec import TaskSpec
from rpmask.train.masked_copy import copy_masked
from rpmask.train.models import load_classifier

SPEC = get_spec("demo")


def drawn(source: str) -> Mask:
    """A mask that keeps a random half."""
    base = base_of(load_classifier(source, SPEC))
    random = np.random.default_rng(0)
    return Mask.from_bools({t.name: random.random(t.shape) < 0.5 for t in find_prunable(base)})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_model_dir(), tmp_path / "start"))


def test_the_copy_is_the_masked_model(source: Path, tmp_path: Path) -> None:
    mask = drawn(str(source))
    assert copy_masked(str(source), SPEC, mask, tmp_path / "model", tmp_path / "words")
    model = load_classifier(str(source), SPEC)
    MaskHold(model, mask).apply()
    model.save_pretrained(tmp_path / "saved")
    copied = load_classifier(str(tmp_path / "model"), SPEC).state_dict()
    assert all(torch.equal(copied[name], value) for name, value in model.state_dict().items())
    for name in ("config.json", "model.safetensors"):
        written = [(tmp_path / folder / name).read_bytes() for folder in ("model", "saved")]
        assert written[0] == written[1]
    texts = ["a b", "c"]
    both = [
        AutoTokenizer.from_pretrained(folder)(texts).data for folder in (tmp_path / "words", source)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("config.json", {"architectures": ["BertModel"]}),
        ("config.json", {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}),
        ("config.json", {"dtype": "bfloat16"}),
        ("config.json", {"pad_token_id": None}),
        ("tokenizer_config.json", {"pad_token": None}),
        ("tokenizer_config.json", {"tokenizer_class": None}),
    ],
)
def test_a_model_that_loading_changes_is_not_copied(
    source: Path, tmp_path: Path, file: str, changed: dict[str, object]
) -> None:
    mask = drawn(str(source))
    path = source / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    assert not copy_masked(str(source), SPEC, mask, tmp_path / "model", tmp_path / "words")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "dropped", ["classifier.weight", "bert.encoder.layer.0.output.dense.weight"]
)
def test_a_file_that_lacks_a_tensor_is_not_copied(
    source: Path, tmp_path: Path, dropped: str
) -> None:
    from safetensors.numpy import load_file, save_file

    mask = drawn(str(source))
    arrays = load_file(source / "model.safetensors")
    del arrays[dropped]
    if dropped.startswith("classifier"):
        del arrays["classifier.bias"]
    save_file(arrays, source / "model.safetensors", metadata={"format": "pt"})
    assert not copy_masked(str(source), SPEC, mask, tmp_path / "model", tmp_path / "words")


def test_lost_weights_are_left_to_the_loaded_model(source: Path, tmp_path: Path) -> None:
    full = drawn(str(source))
    mask = Mask.from_bools({name: np.ones(full.shape(name), bool) for name in full.names})
    halved = copy_masked(str(source), SPEC, full, tmp_path / "half", tmp_path / "words")
    assert halved
    shutil.copyfile(tmp_path / "half" / "model.safetensors", source / "model.safetensors")
    assert not copy_masked(str(source), SPEC, mask, tmp_path / "model", tmp_path / "other")


def test_an_image_model_is_not_copied(tmp_path: Path) -> None:
    spec: TaskSpec = get_spec("digits")
    mask = Mask.from_bools({"x": np.ones((1, 8), bool)})
    assert not copy_masked("digits", spec, mask, tmp_path / "model", tmp_path / "words")
