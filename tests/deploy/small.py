"""A transformer of a few thousand weights, masked, and what an export of it needs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy import VOCABULARY, tiny_bert

from rpmask.deploy.manifest import Manifest
from rpmask.deploy.writing import Source, write_export
from rpmask.masks.banks import head_banks, neuron_banks
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import find_prunable
from rpmask.train.models import load_tokenizer


def batch(rows: int = 3, tokens: int = 8) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(3)
    ids = torch.from_numpy(random.integers(1, VOCABULARY, (rows, tokens)))
    seen = torch.ones_like(ids)
    seen[0, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": seen}


BATCHES = (batch(), batch(1, 5))
LABELS = tuple(torch.zeros(len(each["input_ids"]), dtype=torch.long) for each in BATCHES)


def masked(model: torch.nn.Module, kept: float = 0.25) -> Mask:
    """A mask of single weights, put on the model."""
    random = np.random.default_rng(1)
    keep = {t.name: random.random(t.shape) < kept for t in find_prunable(model)}
    mask = Mask.from_bools(keep)
    MaskHold(model, mask).apply()
    return mask


def without_units(model: torch.nn.Module, neurons: bool, heads: bool) -> Mask:
    """A mask that drops every other neuron or head, put on the model, whose biases stay."""
    tensors = find_prunable(model, ("*",))
    keep: dict[str, Any] = {}
    banks = (*(neuron_banks(tensors) if neurons else ()), *(head_banks(tensors) if heads else ()))
    for bank in banks:
        keep.update(bank.spread(np.arange(bank.units) % 2 == 0))
    mask = Mask.from_bools(keep)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # the toy's are zero, which would hide a forgotten one
                parameter.copy_(torch.linspace(-0.5, 0.5, parameter.numel()))
    MaskHold(model, mask).apply()
    return mask


@cache
def tokenizer() -> Any:
    return load_tokenizer("demo")


def exported(
    folder: Path, form: str, values: str = "fp32", **described: Any
) -> tuple[torch.nn.Module, Manifest]:
    """The tiny model, written in a form; compact without half of its neurons and heads."""
    model = tiny_bert().eval()
    mask = without_units(model, True, True) if form == "compact" else masked(model)
    source = Source(model, tokenizer(), mask, BATCHES, LABELS)
    manifest = Manifest(form=form, task="toy", source="models:/toy/1", values=values, **described)
    return model, write_export(source, folder, manifest)[0]
