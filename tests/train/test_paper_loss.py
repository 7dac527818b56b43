"""The public recipe's loss, term by term, against its formula written out with torch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toy import TOY_TASK, tiny_bert

from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.tasks.spec import TaskSpec
from rpmask.train.distill import distillation_loss
from rpmask.train.plan import Distillation

NUMBERS: TaskSpec = replace(
    TOY_TASK, kind="regression", labels=(), metrics=("pearson",), primary="pearson"
)
NONE = replace(PAPER_TERMS, logits=0.0, hidden=0.0, attention=0.0)
LABELS = torch.tensor([0, 1, 2, 1])
LENGTH = 8


def outputs(seed: int, rows: int = 4, classes: int = 3) -> Any:
    """Of 12 layers, as BERT-base has them."""
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    return SimpleNamespace(
        logits=drawn(rows, classes),
        hidden_states=tuple(drawn(rows, LENGTH, 6) for _ in range(13)),
        attentions=tuple(drawn(rows, 2, LENGTH, LENGTH).softmax(-1) for _ in range(12)),
    )


def loss(terms: Distillation, real: torch.Tensor | None = None, **more: Any) -> torch.Tensor:
    mask = torch.ones(4, LENGTH) if real is None else real
    task, labels = more.get("task", TOY_TASK), more.get("labels", LABELS)
    student, teacher = more.get("pair") or (outputs(1), outputs(2))
    return distillation_loss(student, teacher, labels, mask, task, terms, more.get("length"))


def test_the_logit_term_is_the_published_one() -> None:
    student, teacher = outputs(1), outputs(2)
    likelihood = F.log_softmax(student.logits, dim=-1)
    targets = F.softmax(teacher.logits, dim=-1)
    published = (-targets * likelihood).mean()  # over batch and classes
    ours = loss(replace(NONE, logits=1.0), pair=(student, teacher))
    assert float(ours) == pytest.approx(float(published), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_logit_term_pulls_as_the_divergence_over_the_number_of_classes(classes: int) -> None:
    slopes = []
    for how in ("cross-entropy", "divergence"):
        student, teacher = outputs(1, classes=classes), outputs(2, classes=classes)
        student.logits.requires_grad_()
        terms = replace(NONE, logits=1.0, logit_loss=how)
        loss(terms, pair=(student, teacher), labels=LABELS % classes).backward()
        slopes.append(student.logits.grad)
    assert torch.allclose(slopes[0] * classes, slopes[1], atol=1e-6)


def test_the_hidden_term_sums_thirteen_states() -> None:
    student, teacher = outputs(1), outputs(2)
    pairs = list(zip(student.hidden_states, teacher.hidden_states, strict=True))
    assert len(pairs) == 13
    published = sum(float(F.mse_loss(ours, theirs)) for ours, theirs in pairs)
    ours = loss(replace(NONE, hidden=1.0), pair=(student, teacher))
    assert float(ours) == pytest.approx(published, rel=1e-5)


def test_the_attention_term_of_full_length_rows_is_the_published_one() -> None:
    student, teacher = outputs(1), outputs(2)
    pairs = zip(student.attentions, teacher.attentions, strict=True)
    published = sum(float(F.mse_loss(ours, theirs)) for ours, theirs in pairs)
    ours = loss(replace(NONE, attention=1.0), pair=(student, teacher), length=LENGTH)
    assert float(ours) == pytest.approx(published, rel=1e-5)


def test_the_attention_term_of_a_shorter_row_counts_its_real_rows_at_full_length() -> None:
    """By hand: of two rows one has 4 real tokens of 8; cells between real ones differ by 1, others by 100."""
    ours = torch.full((2, 2, LENGTH, LENGTH), 100.0)
    ours[:, :, :4, :4] = 1.0
    ours[1] = 1.0
    student, teacher = (
        SimpleNamespace(logits=torch.zeros(2, 3), attentions=(maps,))
        for maps in (ours, torch.zeros_like(ours))
    )
    real = torch.ones(2, LENGTH)
    real[0, 4:] = 0
    terms = replace(NONE, attention=1.0)
    found = loss(terms, real, pair=(student, teacher), labels=LABELS[:2], length=LENGTH)
    # 4 rows of 4 cells over 4 rows of 8, and 8 of 8 over 8 of 8; the mean of both
    assert float(found) == pytest.approx((16 / 32 + 64 / 64) / 2)
    twice = loss(terms, real, pair=(student, teacher), labels=LABELS[:2], length=2 * LENGTH)
    assert float(twice) == pytest.approx(float(found) / 2)


def test_the_weight_of_the_attention_term_is_near_the_published_one_on_padded_rows() -> None:
    """Of a network rather than by hand: padded to one length the public mean counts rows of padding too."""
    torch.manual_seed(0)
    teacher, student = (
        tiny_bert(attn_implementation="eager"),
        tiny_bert(attn_implementation="eager"),
    )
    with torch.no_grad():
        for network in (teacher, student):
            for parameter in network.parameters():
                parameter.mul_(20.0 if parameter.ndim > 1 else 1.0)
        for name, parameter in student.named_parameters():
            if "encoder" in name and parameter.ndim > 1:
                parameter.mul_(torch.rand_like(parameter) < 0.3)
        real = (torch.arange(16) < torch.randint(3, 9, (64, 1))).long()
        ids = torch.randint(1, 20, (64, 16)) * real
        told = [
            network.eval()(ids, attention_mask=real, output_attentions=True)
            for network in (student, teacher)
        ]
    pairs = zip(told[0].attentions, told[1].attentions, strict=True)
    published = sum(float(F.mse_loss(ours, theirs)) for ours, theirs in pairs)
    labels = torch.zeros(64).long()
    by_length, by_real = (
        float(loss(terms, real, pair=tuple(told), labels=labels, length=16))
        for terms in (
            replace(NONE, attention=1.0),
            replace(NONE, attention=1.0, attention_mean="real"),
        )
    )
    assert 0.7 < by_length / published < 1.4
    assert by_real / published > 2


def test_a_regression_learns_the_labels() -> None:
    """STS-B: squared error to the labels in the place of the logit term, whatever the teacher answers."""
    student, teacher = outputs(1, classes=1), outputs(2, classes=1)
    labels = torch.tensor([0.0, 2.5, 5.0, 1.0])
    more: dict[str, Any] = {"task": NUMBERS, "labels": labels, "pair": (student, teacher)}
    terms = replace(NONE, logits=1.0)
    published = F.mse_loss(student.logits.squeeze(-1), labels)
    assert float(loss(terms, **more)) == pytest.approx(float(published), rel=1e-6)
    by_teacher = loss(replace(terms, regression_target="teacher"), **more)
    assert float(by_teacher) == pytest.approx(
        float(F.mse_loss(student.logits, teacher.logits)), rel=1e-6
    )


def test_the_whole_loss_is_the_sum_of_its_terms() -> None:
    parts = [
        float(loss(replace(NONE, **{name: 1.0}), length=LENGTH))
        for name in ("logits", "hidden", "attention")
    ]
    assert float(loss(PAPER_TERMS, length=LENGTH)) == pytest.approx(sum(parts), rel=1e-6)
