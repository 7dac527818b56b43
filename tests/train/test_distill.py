"""The distillation terms, on numbers computed by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from toy import TOY_TASK

from rpmask.errors import RpmaskError
from rpmask.train.distill import distillation_loss, layer_pairs
from rpmask.train.plan import Distillation

NONE = Distillation(labels=0.0, logits=0.0, hidden=0.0, attention=0.0)
MASK = torch.tensor([[1, 1, 0]])  # one row of two tokens and one of padding
LABELS = torch.tensor([1])


def output(logit: float, state: float, attention: float) -> SimpleNamespace:
    hidden = torch.full((1, 3, 2), state)
    hidden[:, 2] = 1e6 * (1 + state)  # padding must not count
    cells = torch.full((1, 1, 3, 3), attention)
    cells[:, :, 2, :] = cells[:, :, :, 2] = 1e6 * (1 + attention)
    return SimpleNamespace(
        logits=torch.tensor([[0.0, logit]]),
        hidden_states=(hidden, hidden, hidden),
        attentions=(cells, cells),
    )


def loss(**terms: float) -> float:
    weights = Distillation(**{**NONE.to_dict(), "layer_map": (), **terms})
    student, teacher = output(1.0, 2.0, 0.25), output(3.0, 5.0, 0.75)
    return float(distillation_loss(student, teacher, LABELS, MASK, TOY_TASK, weights))


def test_labels_alone_are_cross_entropy() -> None:
    assert loss(labels=1.0) == pytest.approx(math.log(1 + math.exp(-1.0)), rel=1e-5)


def test_logits_are_divergence_times_temperature_squared() -> None:
    p = 1 / (1 + math.exp(-1.5))  # the teacher's probability at T = 2
    q = 1 / (1 + math.exp(-0.5))
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert loss(logits=1.0, temperature=2.0) == pytest.approx(4 * divergence, rel=1e-4)


def test_hidden_states_sum_over_embeddings_and_layers() -> None:
    assert loss(hidden=1.0) == pytest.approx(3 * 9.0)


def test_attention_maps_sum_over_layers() -> None:
    assert loss(attention=1.0) == pytest.approx(2 * 0.25)


def test_terms_add_up_by_their_weights() -> None:
    assert loss(hidden=0.5, attention=2.0) == pytest.approx(0.5 * 27.0 + 2.0 * 0.5)


def test_layers_are_paired_evenly_up_to_the_last() -> None:
    assert layer_pairs(6, 6, ()) == (0, 1, 2, 3, 4, 5)
    assert layer_pairs(3, 12, ()) == (3, 7, 11)
    assert layer_pairs(2, 6, (0, 5)) == (0, 5)


@pytest.mark.parametrize(("ours", "theirs", "given"), [(6, 3, ()), (2, 6, (0,)), (2, 6, (0, 6))])
def test_a_map_that_does_not_fit_is_refused(ours: int, theirs: int, given: tuple[int, ...]) -> None:
    with pytest.raises(RpmaskError):
        layer_pairs(ours, theirs, given)


def test_an_architecture_without_states_is_refused_with_the_way_out() -> None:
    bare = SimpleNamespace(logits=torch.zeros(2, 2))
    for terms, option in (
        (Distillation(hidden=1.0), "--distill-hidden 0"),
        (Distillation(hidden=0.0, attention=1.0), "--distill-attention 0"),
    ):
        with pytest.raises(RpmaskError, match="This architecture gives no") as caught:
            distillation_loss(bare, bare, torch.zeros(2).long(), torch.ones(2, 4), TOY_TASK, terms)
        assert option in (caught.value.hint or "")
