"""Losses and distances of logits that are not kept: those of logits that are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.heads.classification import CLASSIFICATION, Classes
from rpmask.heads.registry import HEADS
from rpmask.heads.splits import LOGIT_BYTES
from rpmask.randomized_masks.race_score import Evaluator
from rpmask.randomized_masks.streamed_score import LOG_FACTORS, at_best_factor
from rpmask.train.evaluate import evaluate


class Streamed(Classes):
    """Classes whose logits are not kept; the metric is the mean loss."""

    keeps_logits = False

    def score(self, spec, predictions, references):  # type: ignore[no-untyped-def]
        assert len(predictions) == len(references)
        return {"accuracy": float(np.mean(predictions))}


@pytest.mark.parametrize("confidence", [3.0, 12.0])
def test_they_are_those_of_kept_logits(confidence: float, monkeypatch: pytest.MonkeyPatch) -> None:
    task, rows = replace(TOY_TASK, labels=("a", "b", "c")), toy_rows(60)
    model, dense = tiny_bert(labels=3), tiny_bert(labels=3)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight.mul_(20.0)
        for network, sure in ((model, confidence), (dense, 1.0)):
            spread = evaluate(network, rows, task).logits.std()
            network.classifier.weight.mul_(sure / float(spread))
    known = evaluate(model, rows, task).likeliest
    rows = replace(rows, labels=np.where(np.arange(60) % 4 == 0, rows.labels, known))
    kept = Evaluator(task, rows, dense)(model)
    streamed = replace(CLASSIFICATION, name="streamed", answers=Streamed())
    monkeypatch.setitem(HEADS, "streamed", streamed)
    parts = replace(rows, logit_bytes=LOGIT_BYTES // 7)
    found = Evaluator(replace(task, kind="streamed"), parts, dense)(model)
    for ours, theirs in ((found.losses, kept.losses), (found.distances, kept.distances)):
        assert ours.mean() == pytest.approx(theirs.mean(), abs=5e-4)
        np.testing.assert_allclose(
            ours, theirs, rtol=0.05, atol=0.01
        )  # the factor's error moves rows more
    assert found.metric == pytest.approx(evaluate(model, rows, task).loss, abs=1e-6)
    assert evaluate(model, parts, replace(task, kind="streamed")).logits is None


def test_a_parabola_is_followed_exactly_and_an_end_is_taken_as_it_is() -> None:
    rows = np.array([0.5, 1.0, 3.0])
    values = rows + np.square(LOG_FACTORS[:, None] - 0.1) * rows
    np.testing.assert_allclose(at_best_factor(values), rows)
    falling = -LOG_FACTORS[:, None] * rows
    np.testing.assert_allclose(at_best_factor(falling), falling[-1])
