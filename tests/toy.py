"""The smallest things to test on: a ten-weight model, and a transformer of a few hundred weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.heads.splits import Encoded
from rpmask.tasks.spec import TaskSpec

TOY_TASK = TaskSpec(
    name="toy",
    title="odd or even token sums",
    kind="classification",
    labels=("even", "odd"),
    pair=False,
    metrics=("accuracy",),
    primary="accuracy",
)
VOCABULARY = 20


class TenWeights(nn.Module):
    """One matrix of ten weights, 1 to 10, in a repeated block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(5, 2, bias=False)])
        with torch.no_grad():
            self.blocks[0].weight.copy_(torch.arange(1.0, 11.0).reshape(2, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](x)


def tiny_bert(layers: int = 2, labels: int = 2, **extra: Any) -> nn.Module:
    """A BERT classifier with random weights, always the same ones."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=labels,
        **extra,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return BertForSequenceClassification(config)


def toy_rows(count: int, seed: int = 0) -> Encoded:
    """Sequences of 4 to 10 tokens; the label is whether their first token is above ten."""
    rng = np.random.default_rng(seed)
    features = []
    for _ in range(count):
        tokens = rng.integers(1, VOCABULARY, rng.integers(4, 11)).tolist()
        features.append({"input_ids": tokens, "attention_mask": [1] * len(tokens)})
    labels = np.array([int(row["input_ids"][0] > 10) for row in features])
    return Encoded(features, labels, {"input_ids": 0, "attention_mask": 0})
