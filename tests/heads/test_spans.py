"""The head that answers questions: its windows, its units, its losses, and rows that it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import official_squad as official
import pytest
import torch
from tiny_reader import squad, write_reader

from rpmask.errors import RpmaskError
from rpmask.heads.metrics import compute, majority
from rpmask.heads.outputs import logits_of
from rpmask.heads.spans import SPANS
from rpmask.heads.splits import Encoded
from rpmask.heads.windows import END, PADDING, START, read_windows
from rpmask.randomized_masks.race_score import Evaluator
from rpmask.records import DataChoice
from rpmask.steps.inputs import Encoder
from rpmask.tasks.registry import load_task
from rpmask.tasks.spec import TaskSpec
from rpmask.train.augment import with_perturbed
from rpmask.train.evaluate import evaluate
from rpmask.train.losses import label_loss, logit_loss
from rpmask.train.models import load_classifier, load_tokenizer
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, Distillation, TrainPlan
from rpmask.train.teacher import LiveTeacher, cache_rows
from rpmask.train.trainer import train

LENGTH = 32
DEV = squad(50)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskSpec, Encoded, Any]:
    """50 questions, some without an answer and some of several windows, and a model with random weights."""
    folder = tmp_path_factory.mktemp("spans")
    (folder / "dev.json").write_text(json.dumps(DEV))
    (folder / "train.json").write_text(json.dumps(squad(20, seed=1)))
    model = str(write_reader(folder / "encoder"))
    data = load_task("squad_v2", DataChoice(data_dir=str(folder)))
    rows = Encoder(data.spec, load_tokenizer(model), LENGTH)(data.dev["dev"])
    assert isinstance(rows, Encoded)
    return data.spec, rows, load_classifier(model, data.spec)


def several(rows: Encoded) -> np.ndarray:
    """How many windows each question has."""
    assert rows.examples is not None
    return np.bincount(rows.examples)


def test_metrics_are_those_of_the_official_script(made: tuple[TaskSpec, Encoded, Any]) -> None:
    spec, rows, model = made
    assert several(rows).min() == 1
    assert several(rows).max() > 2
    found = evaluate(model, rows, spec)
    logits, owners = found.logits.copy(), found.examples
    # A model with random weights is never right and never silent: make it so for some questions.
    sure = np.random.default_rng(0).random(50)[owners] * 4
    silent = owners % 3 == 0
    logits[np.arange(len(owners)), found.targets] += np.where(silent, 0, sure)
    logits[silent, 0] += sure[silent]
    answers, _ = SPANS.answers.predicted(spec, logits, rows.labels, owners)
    guesses = {
        qa["id"]: answer for qa, answer in zip(official.questions(DEV), answers, strict=True)
    }
    expected = official.evaluate_2(DEV, guesses)
    assert compute(spec, logits, rows.labels, owners) == pytest.approx(expected)
    assert all(0.05 < value < 0.95 for value in expected.values()), expected


def test_an_examples_loss_is_the_mean_over_its_windows(
    made: tuple[TaskSpec, Encoded, Any],
) -> None:
    """As transformers' own loss has it, but for the padding that it lets take part."""
    spec, rows, model = made
    found = evaluate(model, rows, spec)
    losses: dict[int, list[float]] = {}
    for row, example in zip(rows.features, rows.owners, strict=True):
        inputs = {name: torch.tensor([row[name]]) for name in ("input_ids", "token_type_ids")}
        flags = np.array(row["labels"])
        start, end = (torch.tensor([int(np.flatnonzero(flags & bit)[0])]) for bit in (START, END))
        with torch.no_grad():
            out = model(**inputs, start_positions=start, end_positions=end)
        losses.setdefault(int(example), []).append(float(out.loss))
    expected = [np.mean(losses[example]) for example in range(50)]
    np.testing.assert_allclose(found.losses, expected, atol=1e-5)
    batch = rows.batch(np.arange(len(rows)))
    labels = batch.pop("labels")
    with torch.no_grad():
        whole = label_loss(spec, model(**batch), labels)
    assert float(whole) == pytest.approx(np.mean(np.concatenate(list(losses.values()))), abs=1e-5)


def test_a_race_is_over_questions(made: tuple[TaskSpec, Encoded, Any]) -> None:
    spec, rows, model = made
    chosen = np.array([3, 1, 40])
    part = rows.take(chosen)
    assert several(part).tolist() == several(rows)[chosen].tolist()
    score = Evaluator(spec, part, model)(model)
    assert score.distances is not None
    assert score.losses.shape == score.distances.shape == (3,)
    np.testing.assert_allclose(score.distances, 0, atol=1e-2)  # its own, at the best scale
    assert Evaluator(spec, part, None).broken().losses.shape == (3,)


def test_checkpoints_are_judged_over_questions(
    made: tuple[TaskSpec, Encoded, Any], tmp_path: Path
) -> None:
    spec, rows, _ = made
    model = load_classifier(str(Path(made[2].name_or_path)), spec)
    seen: dict[str, float] = {}

    class Seen(Silent):
        def metric(self, name: str, value: float, step: int) -> None:
            seen[name] = value

    plan = TrainPlan(epochs=1, evaluations=1, distill=LABELS_ONLY, threads=1, learning_rate=1e-3)
    train(model, None, None, rows, rows, spec, plan, tmp_path, Seen())
    expected = evaluate(model, rows, spec).metrics
    assert {name: seen[f"selection/{name}"] for name in expected} == pytest.approx(expected)


def test_padding_takes_no_part(made: tuple[TaskSpec, Encoded, Any]) -> None:
    """On either side; the answers are the same for the teacher's cached outputs."""
    spec, rows, model = made
    shortest = several(rows).argsort(kind="stable")[:1]
    alone = evaluate(model, rows.take(shortest), spec)
    np.testing.assert_allclose(
        alone.losses, evaluate(model, rows, spec).losses[shortest], atol=1e-5
    )
    batch = rows.batch(np.arange(len(rows)))
    labels = batch.pop("labels")
    left = {name: value.flip(1) for name, value in {**batch, "labels": labels}.items()}
    logits = logits_of(model(**batch))
    units = SPANS.answers.units(SimpleNamespace(logits=logits), labels)
    # Flipped, the padding is on the left; the tokens that remain are in the flipped order.
    flipped = SPANS.answers.units(SimpleNamespace(logits=logits.flip(1)), left["labels"])
    real = (labels != PADDING).sum(1).repeat_interleave(2)
    for one, other, count in zip(units.logits, flipped.logits, real, strict=True):
        torch.testing.assert_close(one[:count], other[:count].flip(0))
        assert (one[count:] < -1e8).all()
    torch.testing.assert_close(units.targets, real - 1 - flipped.targets)
    terms = Distillation()
    cache = cache_rows(model, rows, terms)
    assert cache is not None
    numbers = torch.arange(len(rows))
    live, kept = (
        logit_loss(spec, SimpleNamespace(logits=torch.zeros_like(logits)), teacher, labels, terms)
        for teacher in (LiveTeacher(model, terms)(numbers, batch), cache(numbers, batch))
    )
    torch.testing.assert_close(live, kept)
    soft = replace(terms, logit_loss="cross-entropy")
    nothing = SimpleNamespace(logits=torch.zeros_like(logits))
    shares = [1 / int(count) for count in real]
    expected = sum(-np.log(share) for share in shares) / (1 / np.array(shares)).sum()
    found = logit_loss(spec, nothing, nothing, labels, soft)
    assert float(found) == pytest.approx(soft.temperature**2 * expected, rel=1e-4)


def test_perturbed_questions_have_no_answer_to_learn(
    made: tuple[TaskSpec, Encoded, Any],
) -> None:
    _, rows, _ = made
    both = with_perturbed(rows, 2, seed=0)
    assert (len(both), len(both.labels)) == (3 * len(rows), 150)
    assert several(both).tolist() == several(rows).tolist() * 3
    batch = both.batch(np.array([0, len(rows)]))
    nothing = SimpleNamespace(logits=torch.zeros(*batch["labels"].shape, 2))
    units = SPANS.answers.units(nothing, batch["labels"])
    assert (units.targets[:2] >= 0).all()
    assert units.targets[2:].tolist() == [-100, -100]


def test_every_answer_is_whole_in_a_window(made: tuple[TaskSpec, Encoded, Any]) -> None:
    _, rows, _ = made
    seen: dict[int, set[str]] = {}
    place: dict[int, int] = {}
    for row, example in zip(rows.features, rows.owners, strict=True):
        question = rows.labels[example]
        window = question.windows[place.setdefault(example, 0)]
        place[example] += 1
        flags = np.array(row["labels"])
        start, end = (int(np.flatnonzero(flags & bit)[0]) for bit in (START, END))
        text = ""
        if start != window.nothing:
            text = question.context[window.characters[start, 0] : window.characters[end, 1]]
        seen.setdefault(int(example), set()).add(text)
    for example, question in enumerate(rows.labels):
        assert seen[example] - {""} == set(question.answers[:1])


def test_the_constant_answer_is_the_commonest(made: tuple[TaskSpec, Encoded, Any]) -> None:
    spec, rows, _ = made
    texts = [question.answers or ("",) for question in rows.labels]
    most = max(sum("" in each for each in texts), sum("chef" in " ".join(e) for e in texts))
    assert majority(spec, rows.labels)["exact_match"] >= most / 50


def test_a_long_question_is_cut_and_a_short_window_refused(
    made: tuple[TaskSpec, Encoded, Any],
) -> None:
    reader = load_tokenizer("demo")
    features, windows, owners = read_windows(["chef " * 99], ["near " * 40], reader, LENGTH)
    assert all(len(row["input_ids"]) <= LENGTH for row in features)
    assert {end for window in windows for end in window.characters[:, 1]} >= {4, 199}
    assert set(owners) == {0}
    with pytest.raises(RpmaskError, match="leave no room"):
        read_windows(["who"], ["chef"], reader, 16)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a text", "is not both"),
        ({"question": "who"}, "is not both"),
        (("who", " "), "is empty"),
        (["who", "chef"], "is not both"),
    ],
)
def test_rows_of_another_kind_are_refused(row: Any, why: str) -> None:
    with pytest.raises(RpmaskError, match=why):
        SPANS.inputs.batch([row], load_tokenizer("demo"), pair=None, max_length=LENGTH)
