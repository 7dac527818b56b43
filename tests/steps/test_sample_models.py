"""Models that are not like the demo: sparse already, of other names, with matrices no mask can name."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import transformers
from commands import answer, rpmask

from rpmask.masks.weights import find_prunable
from rpmask.tasks.registry import get_spec
from rpmask.train.model_place import DEMO, DIGITS, locate
from rpmask.train.models import load_classifier

SMALL = ("--train-rows", "64", "--selection-rows", "32", "--k", "2", "--importance", "magnitude")


def beside(folder: Path, model: transformers.PreTrainedModel, demo: str) -> str:
    """The model, and what else lies in a demo's folder."""
    shutil.copytree(locate(demo).weights, folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    return str(folder)


def test_a_mask_that_would_keep_zeros_is_refused_before_the_race(tmp_path: Path) -> None:
    model = load_classifier(DEMO, get_spec("demo"))
    with torch.no_grad():
        for tensor in find_prunable(model):
            model.base_model.get_parameter(tensor.name)[:, ::2] = 0
    source = beside(tmp_path / "sparse", model, DEMO)
    asked = ["sample", "-t", "demo", "-m", source, *SMALL]
    refused = rpmask([*asked, "-s", "0.3"], tmp_path)
    assert refused.returncode == 2
    assert "are zero already" in refused.stderr
    assert answer([*asked, "-s", "0.6"], tmp_path)["k"] == 2


def test_an_image_model_whose_file_has_other_names(tmp_path: Path) -> None:
    task = get_spec("digits")
    config = transformers.SwinConfig(
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=4,
        num_labels=10,
        id2label=dict(enumerate(task.labels)),
        label2id={label: i for i, label in enumerate(task.labels)},
    )
    model = transformers.SwinForImageClassification(config)
    source = beside(tmp_path / "swin", model, DIGITS)
    drawn = answer(["sample", "-t", "digits", "-m", source, *SMALL, "-s", "0.8"], tmp_path)
    total = sum(tensor.numel for tensor in find_prunable(model))
    assert {one["total"] for one in drawn["candidates"]} == {total}
    proved = answer(["mask", "redraw", f"{drawn['run_id']}#1"], tmp_path)
    assert proved["digest"] == drawn["candidates"][1]["mask_digest"]


def test_what_no_mask_can_name_is_said(tmp_path: Path) -> None:
    task = get_spec("demo")
    demo = load_classifier(DEMO, task)
    config = transformers.XLNetConfig(
        vocab_size=demo.config.vocab_size,
        d_model=8,
        n_layer=1,
        n_head=2,
        d_inner=16,
        num_labels=len(task.labels),
        id2label=dict(enumerate(task.labels)),
    )
    source = beside(tmp_path / "xlnet", transformers.XLNetForSequenceClassification(config), DEMO)
    done = rpmask(["sample", "-t", "demo", "-m", source, *SMALL, "-s", "0.8"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "more weights in the blocks stay dense" in done.stderr
    assert "layer.0.rel_attn.q" in done.stderr
