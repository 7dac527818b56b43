"""Embeddings keep their values while the rest trains, unless the mask prunes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows
from transformers import GPT2Config, GPT2ForSequenceClassification

from rpmask.masks.mask import Mask
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train

PLAN = TrainPlan(epochs=1, batch_size=8, evaluations=1, learning_rate=1e-2, distill=LABELS_ONLY)
MATRIX = "encoder.layer.0.output.dense.weight"
WORDS = "embeddings.word_embeddings.weight"


def half(model: nn.Module, *names: str) -> Mask:
    """A mask of every other weight, without the first row, which is zero where it is padding."""
    keep = {}
    for name in names:
        shape = model.base_model.get_parameter(name).shape
        keep[name] = (torch.arange(shape.numel()) % 2 == 0).reshape(shape)
        keep[name][0] = False
    return Mask.from_bools(keep)


def moved(folder: Path, plan: TrainPlan, *pruned: str) -> dict[str, bool]:
    """Which parameters a training changed, of those that no mask zeroed."""
    model = tiny_bert()
    mask = half(model, *pruned)
    before = {name: value.clone() for name, value in model.named_parameters()}
    rows = toy_rows(64), toy_rows(32, seed=1)
    train(model, mask, None, *rows, TOY_TASK, plan, folder, Silent())
    assert all(parameter.requires_grad for parameter in model.parameters())
    return {
        name.removeprefix("bert."): not torch.equal(value[value != 0], before[name][value != 0])
        for name, value in model.named_parameters()
    }


def test_frozen_tables_keep_their_values_and_all_else_trains(tmp_path: Path) -> None:
    changed = moved(tmp_path, replace(PLAN, freeze_embeddings=True), MATRIX)
    tables = {name for name in changed if name.endswith("embeddings.weight")}
    assert len(tables) == 3
    assert {name for name, was in changed.items() if not was} == tables


def test_without_freezing_they_train(tmp_path: Path) -> None:
    assert moved(tmp_path, replace(PLAN, freeze_embeddings=False), MATRIX)[WORDS]


def test_a_pruned_table_trains_and_its_zeros_hold(tmp_path: Path) -> None:
    changed = moved(tmp_path, replace(PLAN, freeze_embeddings=True), MATRIX, WORDS)
    assert changed[WORDS]
    assert not changed["embeddings.position_embeddings.weight"]


def gpt2() -> nn.Module:
    config = GPT2Config(
        vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2, num_labels=2, pad_token_id=0
    )
    config.update({"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0})
    torch.manual_seed(0)
    return GPT2ForSequenceClassification(config)


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_trains_is_the_same_with_checkpointed_activations(
    tmp_path: Path, reentrant: bool
) -> None:
    """In GPT-2 no norm follows the tables: a checkpointed block is given nothing that needs a gradient."""
    saving = {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": reentrant},
    }
    weights = []
    for extra in ({}, saving):
        model = gpt2()
        mask = half(model, "h.0.mlp.c_fc.weight")
        plan = replace(PLAN, freeze_embeddings=True, extra=extra)
        rows = toy_rows(64), toy_rows(32, seed=1)
        train(model, mask, None, *rows, TOY_TASK, plan, tmp_path / f"{len(extra)}", Silent())
        weights.append(model.transformer.h[0].mlp.c_fc.weight.detach())
    assert torch.allclose(*weights, atol=1e-5)
    assert not torch.allclose(
        weights[0], gpt2().transformer.h[0].mlp.c_fc.weight * (weights[0] != 0)
    )
