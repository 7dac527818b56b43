"""Plain attention where a training is faster with it, and the same training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.heads.splits import Encoded
from rpmask.train.attention import SHORT, fast_attention
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train


def rows_of(*tokens: int) -> Encoded:
    features = [{"input_ids": [1] * n, "attention_mask": [1] * n} for n in tokens]
    return Encoded(features, np.zeros(len(tokens)), {"input_ids": 0, "attention_mask": 0})


@pytest.mark.parametrize(
    ("precision", "tokens", "chosen"),
    [("bf16", SHORT, "eager"), ("bf16", SHORT + 1, "sdpa"), ("fp32", SHORT, "sdpa")],
)
def test_it_is_chosen_for_short_rows_in_bf16(precision: str, tokens: int, chosen: str) -> None:
    model = tiny_bert()
    with fast_attention((model, None), rows_of(2, tokens), precision):
        assert model.config._attn_implementation == chosen
    assert model.config._attn_implementation == "sdpa"


def test_a_training_in_bf16_uses_it_and_learns_the_same(tmp_path: Path) -> None:
    plan = TrainPlan(epochs=1, batch_size=8, evaluations=1, distill=LABELS_ONLY, threads=1)
    trained: dict[str, nn.Module] = {}
    used: dict[str, set[str]] = {}
    for precision in ("fp32", "bf16"):
        model, seen = tiny_bert(), used.setdefault(precision, set())
        model.register_forward_pre_hook(
            lambda network, *_, seen=seen: (
                seen.add(network.config._attn_implementation) if network.training else None
            )
        )
        rows = toy_rows(64), toy_rows(32, seed=1)
        train(
            *(model, None, None, *rows, TOY_TASK, replace(plan, precision=precision)),
            *(tmp_path / precision, Silent()),
        )
        trained[precision] = model
    assert used == {"fp32": {"sdpa"}, "bf16": {"eager"}}
    start = dict(tiny_bert().named_parameters())
    narrow = dict(trained["bf16"].named_parameters())
    moved = [
        ((wide - start[name]).norm().item(), (narrow[name] - wide).norm().item())
        for name, wide in trained["fp32"].named_parameters()
    ]
    assert sum(far for far, _ in moved) > 0
    assert sum(apart for _, apart in moved) < 0.2 * sum(far for far, _ in moved)
