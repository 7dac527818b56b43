"""The head that tags words: its units, its losses, its answers, and words that a model does not see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_tagger import TAGS

from rpmask.errors import RpmaskError
from rpmask.heads.metrics import compute, majority
from rpmask.heads.splits import Encoded
from rpmask.heads.tokens import TOKENS
from rpmask.heads.words import NO_WORD, align
from rpmask.randomized_masks.race_score import calibrated_losses
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.words import ENTITY_METRICS
from rpmask.train.augment import with_perturbed
from rpmask.train.losses import example_losses, label_loss, logit_loss
from rpmask.train.models import load_tokenizer
from rpmask.train.plan import Distillation

TASK = TaskSpec(
    "toy", "toy", "tokens", TAGS, pair=False, metrics=ENTITY_METRICS, primary="entity_f1"
)
# Two rows; the first has the words at tokens 1 and 3, the second one at 1.
LABELS = torch.tensor([[NO_WORD, 1, NO_WORD, 3], [NO_WORD, 0, NO_WORD, NO_WORD]])


def outputs(seed: int = 0) -> Any:
    rng = torch.Generator().manual_seed(seed)
    return SimpleNamespace(logits=torch.randn(2, 4, 4, generator=rng))


def test_a_rows_loss_is_the_mean_over_its_words() -> None:
    logits = outputs().logits
    each = -logits.log_softmax(-1)
    first = (each[0, 1, 1] + each[0, 3, 3]) / 2
    expected = torch.stack([first, each[1, 1, 0]])
    torch.testing.assert_close(example_losses(TASK, outputs(), LABELS), expected)
    words = torch.stack([each[0, 1, 1], each[0, 3, 3], each[1, 1, 0]])
    torch.testing.assert_close(label_loss(TASK, outputs(), LABELS), words.mean())


def test_the_teacher_is_compared_at_words_alone() -> None:
    terms = Distillation()
    teacher = outputs(1)
    before = logit_loss(TASK, outputs(), teacher, LABELS, terms)
    teacher.logits[LABELS == NO_WORD] += 5.0
    torch.testing.assert_close(logit_loss(TASK, outputs(), teacher, LABELS, terms), before)
    teacher.logits[LABELS != NO_WORD] *= 2.0
    assert logit_loss(TASK, outputs(), teacher, LABELS, terms) != before


def test_confidence_is_scaled_over_rows_and_not_over_words() -> None:
    """Nine right words in one row weigh as much as the single wrong word of another."""
    logits = np.zeros((10, 2))
    logits[:, 0] = 3.0
    targets = np.array([0] * 9 + [1])
    examples = np.array([0] * 9 + [1])
    by_row = calibrated_losses(logits, targets, examples)
    np.testing.assert_allclose(by_row.mean(), np.log(2), atol=1e-3)
    by_word = calibrated_losses(logits, targets)
    assert by_word.mean() < 0.33


def test_the_first_token_of_a_word_carries_its_tag() -> None:
    reader = load_tokenizer("demo")
    words = ["the", "chefzq", "kitchen"]
    features = align([words], [np.array([0, 1, 3])], reader, 32)
    pieces = reader.convert_ids_to_tokens(features[0]["input_ids"])
    placed = {p: label for p, label in enumerate(features[0]["labels"]) if label != NO_WORD}
    assert list(placed.values()) == [0, 1, 3]
    places = list(placed)
    assert (pieces[0], pieces[-1], places[0]) == ("[CLS]", "[SEP]", 1)
    assert pieces[places[2]].startswith("kitchen"[:2])
    assert Encoded.of(features, np.arange(1), reader, 32).pad["labels"] == NO_WORD


def test_words_beyond_the_longest_input_count_as_outside() -> None:
    reader = load_tokenizer("demo")
    words, tags = ["chef"] * 10, np.ones(10, dtype=np.int64)
    features = align([words], [tags], reader, 6)
    seen = sum(label != NO_WORD for label in features[0]["labels"])
    assert 0 < seen < 10
    logits = np.zeros((seen, 4))
    logits[:, 1] = 9.0  # all right
    labels = np.empty(1, dtype=object)
    labels[0] = tags
    found = compute(TASK, logits, labels, np.zeros(seen, dtype=np.int64))
    assert found["accuracy"] == pytest.approx(seen / 10)
    assert found["entity_recall"] == pytest.approx(seen / 10)
    assert found["entity_precision"] == 1.0


def test_a_word_without_a_token_is_read_as_unknown() -> None:
    reader = load_tokenizer("demo")
    words = ["chef", "\u200b", "kitchen"]
    features = align([words], [np.array([1, 0, 3])], reader, 32)
    assert [label for label in features[0]["labels"] if label != NO_WORD] == [1, 0, 3]
    pieces = reader.convert_ids_to_tokens(features[0]["input_ids"])
    assert "[UNK]" in pieces


def test_the_constant_answer_is_the_most_frequent_tag() -> None:
    labels = np.empty(2, dtype=object)
    labels[:] = [np.array([0, 0, 1]), np.array([0, 3])]
    assert majority(TASK, labels) == {
        "entity_f1": 0.0,
        "entity_precision": 0.0,
        "entity_recall": 0.0,
        "accuracy": pytest.approx(3 / 5),
    }


def test_perturbed_rows_have_words_and_no_tags() -> None:
    reader = load_tokenizer("demo")
    tags = np.array([1, 3])
    features = align([["chef", "kitchen"]], [tags], reader, 32)
    labels = np.empty(1, dtype=object)
    labels[0] = tags
    data = Encoded.of(features, labels, reader, 32)
    batch = with_perturbed(data, 1, seed=0).batch(np.arange(2))
    width = batch["labels"].shape[1]
    given = SimpleNamespace(logits=torch.zeros(2, width, len(TAGS)))
    losses = example_losses(TASK, given, batch["labels"])
    torch.testing.assert_close(losses, torch.tensor([np.log(4.0), 0.0], dtype=torch.float32))
    units = TOKENS.answers.units(given, batch["labels"])
    assert units.examples is not None
    assert units.examples.tolist() == [0, 0, 1, 1]  # the teacher's answers are learnt at both


def test_rows_of_another_kind_are_refused() -> None:
    reader = load_tokenizer("demo")
    for row, why in ((("one", "two"), "a row is two texts"), ("  ", "no words"), ([], "no words")):
        with pytest.raises(RpmaskError, match=why):
            TOKENS.inputs.batch([row], reader, pair=None, max_length=32)
