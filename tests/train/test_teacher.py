"""RowCachedTeacher answers are the teacher's own, whatever batch they are asked for in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.heads.splits import Encoded
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.train import teacher as module
from rpmask.train.distill import distillation_loss
from rpmask.train.observer import Silent
from rpmask.train.plan import Distillation, TrainPlan
from rpmask.train.teacher import LiveTeacher, Numbered, cache_rows
from rpmask.train.trainer import train

ALL = Distillation()
LOGITS = Distillation(hidden=0.0)


def batch_of(data: Encoded, rows: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    numbered = Numbered(data)
    batch = numbered.collate([numbered[row] for row in rows])
    del batch["labels"]
    return batch.pop(module.ROW), batch


@pytest.mark.parametrize("terms", [ALL, LOGITS], ids=["states", "logits"])
def test_kept_answers_are_those_the_network_gives(terms: Distillation) -> None:
    data = toy_rows(150)  # several chunks
    network = tiny_bert().eval()
    kept = cache_rows(network, data, terms)
    assert kept is not None
    for seed in range(5):
        rows, inputs = batch_of(data, np.random.default_rng(seed).permutation(150)[:16].tolist())
        mine, theirs = kept(rows, inputs), LiveTeacher(network, terms)(rows, inputs)
        torch.testing.assert_close(mine.logits, theirs.logits, rtol=1e-4, atol=1e-5)
        labels = torch.zeros(len(rows), dtype=torch.long)
        with torch.no_grad():
            student = tiny_bert().train()(**inputs, output_hidden_states=True)
        losses = [
            distillation_loss(student, told, labels, inputs["attention_mask"], TOY_TASK, terms)
            for told in (mine, theirs)
        ]
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_answers_to_every_token_are_kept_too() -> None:
    from transformers import BertForTokenClassification

    data, network = toy_rows(150), BertForTokenClassification(tiny_bert().config).eval()
    kept = cache_rows(network, data, ALL)
    assert kept is not None
    assert len(kept.logits) == data.lengths.sum()
    rows, inputs = batch_of(data, [149, 3, 70, 12])
    mine, theirs = kept(rows, inputs), LiveTeacher(network, ALL)(rows, inputs)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(mine.logits[real], theirs.logits[real], rtol=1e-4, atol=1e-5)
    assert mine.logits.shape == theirs.logits.shape


def test_answers_that_cannot_be_kept_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = tiny_bert().eval(), toy_rows(64)
    assert cache_rows(network, data, PAPER_TERMS) is None  # attention maps
    assert cache_rows(network, replace(data, pad_left=True), ALL) is None
    monkeypatch.setattr(module, "KEPT_BYTES", 1000)
    assert cache_rows(network, data, ALL) is None
    assert cache_rows(network, data, LOGITS) is not None


def test_a_teacher_is_asked_once_a_row_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answer = LiveTeacher.__call__

    def counted(self: LiveTeacher, rows: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Any:
        asked.extend(rows.tolist())
        return answer(self, rows, inputs)

    monkeypatch.setattr(LiveTeacher, "__call__", counted)
    plan = TrainPlan(epochs=3, batch_size=8, evaluations=1, distill=ALL)
    for folder, epochs in (("long", 3), ("short", 1)):
        asked.clear()
        train(
            tiny_bert(),
            None,
            tiny_bert(),
            toy_rows(64),
            toy_rows(32, seed=1),
            TOY_TASK,
            replace(plan, epochs=epochs),
            tmp_path / folder,
            Silent(),
        )
        assert sorted(asked) == list(range(64))
