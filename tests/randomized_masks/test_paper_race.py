"""The public recipe's early evaluation and training: schedule, decay, clipping, evaluations, scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from test_race_worker import worker
from toy import TOY_TASK, tiny_bert, toy_rows
from train.test_trainer import PLAN, fit, magnitude

from rpmask.randomized_masks import paper
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.randomized_masks.race_score import Evaluation, as_tensors, from_tensors, mean_of
from rpmask.randomized_masks.race_training import RaceTraining, rate_share, stops
from rpmask.randomized_masks.race_worker import Leg
from rpmask.train.arguments import training_arguments
from rpmask.train.masked_trainer import MaskedTrainer
from rpmask.train.observer import Silent
from rpmask.train.parameters import decaying_names, parameter_groups
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.trainer import train

SCORED: dict[str, Any] = {"evaluate_every": 2, "scored_evaluations": 3}


def race(**given: Any) -> RaceTraining:
    return RaceTraining(full_steps=1000, **given)


def test_evaluations_of_a_score() -> None:
    """Every 50 steps; those that the last ten are, and the end."""
    published = race(
        evaluate_every=paper.EVALUATE_EVERY, scored_evaluations=paper.SCORED_EVALUATIONS
    )
    assert stops(0, 1000, published) == [550, 600, 650, 700, 750, 800, 850, 900, 950, 1000]
    assert stops(0, 120, published) == [50, 100, 120]
    assert stops(0, 35, published) == [35]
    assert stops(80, 120, published) == [100, 120]
    assert stops(0, 1000, race()) == [1000]


def test_early_evaluation_warms_up_for_a_tenth_and_falls_to_zero() -> None:
    training = race()
    shares = [rate_share(step, training) for step in (0, 49, 99, 100, 550, 999)]
    assert shares == pytest.approx([0.01, 0.5, 1.0, 1.0, 0.5, 1 / 900])
    assert training.learning_rate == 2e-4


def test_a_score_is_the_mean_of_the_last_evaluations(tmp_path: Path) -> None:
    run = worker(tmp_path, **SCORED, distill=PAPER_TERMS)
    score = run(Leg(1, 0, 0, 8, None)).score
    plain = worker(tmp_path, distill=PAPER_TERMS)
    each = [plain(Leg(1, 0, 0, step, None)) for step in (4, 6, 8)]
    assert score.losses == pytest.approx(np.mean([one.score.losses for one in each], axis=0))
    assert score.metric == pytest.approx(np.mean([one.score.metric for one in each]))
    assert score.distances == pytest.approx(np.mean([one.score.distances for one in each], axis=0))


def test_a_score_of_fewer_evaluations_is_the_mean_of_all(tmp_path: Path) -> None:
    few = worker(tmp_path, evaluate_every=2, scored_evaluations=10)(Leg(0, 0, 0, 5, None))
    each = [worker(tmp_path)(Leg(0, 0, 0, step, None)) for step in (2, 4, 5)]
    assert few.score.losses == pytest.approx(np.mean([one.score.losses for one in each], axis=0))


@pytest.mark.parametrize("pause", [3, 4])
def test_a_score_is_the_same_over_two_legs(pause: int, tmp_path: Path) -> None:
    """Whether or not the first of them ends where every candidate is evaluated."""
    run = worker(tmp_path, **SCORED, distill=PAPER_TERMS)
    whole = run(Leg(0, 0, 0, 7, None))
    first = run(Leg(0, 0, 0, pause, None))
    second = worker(tmp_path, **SCORED, distill=PAPER_TERMS)(Leg(0, 1, pause, 7, first.state))
    assert np.array_equal(whole.score.losses, second.score.losses)
    assert np.array_equal(whole.score.distances, second.score.distances)
    assert whole.score.metric == second.score.metric
    assert whole.state == second.state


def test_evaluations_go_through_tensors_and_back() -> None:
    given = [Evaluation(np.arange(3.0), 0.1, np.ones(3)), Evaluation(np.zeros(3), 0.3)]
    again = from_tensors(as_tensors(given))
    assert [one.metric for one in again] == [0.1, 0.3]
    assert np.array_equal(again[0].losses, given[0].losses)
    assert again[1].distances is None
    assert mean_of(given[1:]).distances is None


def test_a_race_without_clipping_takes_the_whole_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped: list[float] = []
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda _, most: clipped.append(float(most))
    )
    worker(tmp_path, max_grad_norm=paper.MAX_GRAD_NORM)(Leg(0, 0, 0, 2, None))
    assert clipped == []
    worker(tmp_path)(Leg(0, 0, 0, 2, None))
    assert clipped == [1.0, 1.0]


def test_one_rule_of_decay_for_a_race_and_a_training(tmp_path: Path) -> None:
    model = tiny_bert()
    names = set(decaying_names(model))
    assert names == set(transformers.Trainer.get_decay_parameter_names(None, model))
    assert names == {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    groups = parameter_groups(model, 0.25)
    assert [group["weight_decay"] for group in groups] == [0.25, 0.0]
    arguments = training_arguments(replace(PLAN, weight_decay=0.25), TOY_TASK, 64, tmp_path)
    trainer = trainer_of(model, arguments)
    theirs = trainer.create_optimizer().param_groups
    assert [group["weight_decay"] for group in theirs] == [0.25, 0.0]
    for ours, trained in zip(groups, theirs, strict=True):
        assert [id(p) for p in ours["params"]] == [id(p) for p in trained["params"]]


def test_a_race_decays_no_bias_and_no_norm(tmp_path: Path) -> None:
    """A rate of almost nothing with a huge decay: the decay alone moves weights."""
    how = {"learning_rate": 1e-12, "warmup": 0.0, "weight_decay": 1e11, "full_steps": 1000}
    run = worker(tmp_path, **how)
    before = {name: p.clone() for name, p in run._model.named_parameters()}
    run(Leg(0, 0, 0, 1, None))
    after = dict(run._model.named_parameters())
    mask = magnitude(tiny_bert(), 0.5)
    for name, parameter in after.items():
        moved = not torch.allclose(parameter, before[name], atol=1e-6)
        masked = name.removeprefix("bert.") in mask.names
        assert moved == (parameter.ndim > 1) or masked, name


def trainer_of(model: torch.nn.Module, arguments: Any) -> MaskedTrainer:
    return MaskedTrainer(
        model=model,
        args=arguments,
        eval_dataset=toy_rows(8),
        task=TOY_TASK,
        terms=LABELS_ONLY,
        hold=None,
    )


def published(**given: Any) -> TrainPlan:
    plan = TrainPlan(
        epochs=10,
        batch_size=paper.BATCH_SIZE,
        learning_rate=paper.LEARNING_RATE,
        weight_decay=paper.WEIGHT_DECAY,
        max_grad_norm=paper.MAX_GRAD_NORM,
        evaluate_every=paper.EVALUATE_EVERY,
        schedule=paper.SCHEDULE,
    )
    return replace(plan, **given)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [("constant", [0.0, 0.5, 1.0, 1.0, 1.0]), ("linear", [0.0, 0.5, 1.0, 0.5, 0.0])],
)
def test_the_rate_of_a_training(schedule: str, shares: list[float], tmp_path: Path) -> None:
    """Constant after a tenth of the steps; linear at the last level."""
    plan = published(schedule=schedule)
    arguments = training_arguments(plan, TOY_TASK, 1280, tmp_path)
    assert (arguments.max_steps, arguments.warmup_steps) == (200, 20)
    trainer = trainer_of(tiny_bert(), arguments)
    trainer.create_optimizer_and_scheduler(200)
    rate = trainer.lr_scheduler.lr_lambdas[0]
    assert [rate(step) for step in (0, 10, 20, 110, 200)] == pytest.approx(shares)


def test_a_training_is_evaluated_and_kept_every_50_steps(tmp_path: Path) -> None:
    arguments = training_arguments(published(), TOY_TASK, 1280, tmp_path)
    assert (arguments.eval_steps, arguments.save_steps) == (50, 50)
    assert arguments.load_best_model_at_end
    assert training_arguments(published(epochs=1), TOY_TASK, 1280, tmp_path).eval_steps == 20


def test_a_training_neither_clips_nor_decays(tmp_path: Path) -> None:
    arguments = training_arguments(published(), TOY_TASK, 1280, tmp_path)
    assert (arguments.max_grad_norm, arguments.weight_decay) == (0.0, 0.0)


def test_the_defaults_of_a_training_are_what_they_were(tmp_path: Path) -> None:
    arguments = training_arguments(TrainPlan(), TOY_TASK, 1280, tmp_path)
    assert (arguments.lr_scheduler_type, arguments.max_grad_norm) == ("linear", 1.0)
    assert (arguments.eval_steps, arguments.weight_decay) == (40, 0.01)


def test_the_best_of_the_evaluations_is_kept(tmp_path: Path) -> None:
    plan = published(
        distill=PAPER_TERMS, batch_size=8, evaluate_every=3, epochs=2, learning_rate=1e-2
    )
    _, trained = fit(tmp_path, plan)
    assert trained.steps == 16
    assert trained.best_step in (3, 6, 9, 12, 15, 16)


def test_the_attention_term_of_a_training_knows_the_full_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpmask.train import masked_trainer as trainer

    seen: list[object] = []
    known = trainer.distillation_loss

    def watched(*given: Any) -> torch.Tensor:
        seen.append(given[-1])
        return known(*given)

    monkeypatch.setattr(trainer, "distillation_loss", watched)
    rows = replace(toy_rows(32), max_length=16)
    eager = {"attn_implementation": "eager"}
    plan = published(distill=PAPER_TERMS, batch_size=8, epochs=1)
    model, dense = tiny_bert(**eager), tiny_bert(**eager)
    train(model, None, dense, rows, toy_rows(16, 1), TOY_TASK, plan, tmp_path, Silent())
    assert set(seen) == {16}
