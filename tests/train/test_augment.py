"""Altered rows are taught by the teacher alone, and change words only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.heads.splits import Encoded
from rpmask.masks.mask import Mask
from rpmask.steps.requests import FinetuneRequest
from rpmask.train.augment import REPLACED, SWAPPED, with_perturbed
from rpmask.train.distill import distillation_loss
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, Distillation, TrainPlan
from rpmask.train.trainer import train

CLS, SEP = 101, 102


def sentences(rows: int, words: int, labels: np.ndarray | None = None) -> Encoded:
    """Pairs of different words between special tokens."""
    rng = np.random.default_rng(0)
    features = []
    for _ in range(rows):
        ids = rng.permutation(np.arange(1, 100))[:words].tolist()
        half = words // 2
        ids = [CLS, *ids[:half], SEP, *ids[half:], SEP]
        features.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
    pad = {"input_ids": 0, "attention_mask": 0}
    labels = np.zeros(rows, dtype=np.int64) if labels is None else labels
    return Encoded(features, labels, pad, special=frozenset({0, CLS, SEP}))


def test_the_rows_come_first_as_they_were_and_copies_have_no_label() -> None:
    data = sentences(20, 8)
    altered = with_perturbed(data, 3, seed=1)
    assert len(altered) == 80
    assert altered.features[:20] == data.features
    assert (altered.labels[:20] == data.labels).all()
    assert (altered.labels[20:] == -100).all()
    assert altered.features[20:] != data.features * 3


def test_special_tokens_stay_and_words_are_those_of_the_split() -> None:
    data = sentences(50, 20)
    known = {token for row in data.features for token in row["input_ids"]}
    for index, row in enumerate(with_perturbed(data, 2, seed=0).features):
        before = data.features[index % 50]["input_ids"]
        assert set(row["input_ids"]) <= known
        places = [i for i, token in enumerate(before) if token in data.special]
        assert [i for i, token in enumerate(row["input_ids"]) if token in data.special] == places
        assert row["attention_mask"] == data.features[index % 50]["attention_mask"]


def test_as_many_words_change_as_it_says() -> None:
    data = sentences(400, 40)
    copies = with_perturbed(data, 1, seed=0).features[400:]
    pairs = [
        (before["input_ids"], after["input_ids"])
        for before, after in zip(data.features, copies, strict=True)
    ]
    # Words of a row are different ones: what is not in it any more was replaced, what moved was swapped.
    gone = sum(sum((Counter(a) - Counter(b)).values()) for a, b in pairs) / (400 * 40)
    assert gone == pytest.approx(REPLACED, abs=0.01)
    moved = sum(sum(x != y for x, y in zip(a, b, strict=True)) for a, b in pairs) / (400 * 40)
    assert moved == pytest.approx(REPLACED + 2 * SWAPPED, abs=0.02)


def test_the_same_seed_alters_the_same() -> None:
    data = sentences(30, 12)
    first, again, other = (with_perturbed(data, 1, seed=seed).features for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_row_without_a_label_adds_nothing_to_the_label_term(kind: str) -> None:
    task = replace(TOY_TASK, kind=kind)
    outputs = 2 if kind == "classification" else 1
    logits = torch.randn(4, outputs, requires_grad=True)
    known = torch.tensor([1, 0]) if outputs == 2 else torch.tensor([0.5, -1.0])
    none = torch.full((2,), -100) if outputs == 2 else torch.full((2,), float("nan"))
    student = SimpleNamespace(logits=logits)
    loss = distillation_loss(student, None, torch.cat([known, none]), None, task, LABELS_ONLY)
    loss.backward()
    single = (
        F.cross_entropy(logits[:2], known) if outputs == 2 else F.mse_loss(logits[:2, 0], known)
    )
    torch.testing.assert_close(loss, single / 2)  # a mean over the batch of four
    assert logits.grad is not None
    assert logits.grad[:2].abs().min() > 0
    assert (logits.grad[2:] == 0).all()


def test_a_training_takes_the_same_steps_and_learns_something_else(tmp_path: Path) -> None:
    plan = TrainPlan(epochs=2, batch_size=8, evaluations=1, distill=Distillation(), threads=1)
    name = "encoder.layer.0.output.dense.weight"
    heads = []
    for augment in (0, 3):
        model, teacher = tiny_bert(), tiny_bert()
        shape = model.base_model.get_parameter(name).shape
        mask = Mask.from_bools({name: (torch.arange(shape.numel()) % 2 == 0).reshape(shape)})
        trained = train(
            *(model, mask, teacher, toy_rows(64), toy_rows(32, seed=1), TOY_TASK),
            *(replace(plan, augment=augment), tmp_path / str(augment), Silent()),
        )
        assert trained.steps == 16
        heads.append(model.classifier.weight.detach().clone())
    assert torch.isfinite(heads[1]).all()
    assert not torch.equal(*heads)


def test_it_needs_a_teacher_and_a_number() -> None:
    with pytest.raises(RpmaskError, match="--augment needs a teacher"):
        FinetuneRequest(plan=TrainPlan(augment=2, distill=LABELS_ONLY)).check()
    with pytest.raises(RpmaskError, match="--augment is -1"):
        FinetuneRequest(plan=TrainPlan(augment=-1)).check()
