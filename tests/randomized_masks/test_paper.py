"""`randomized_masks/paper.py` holds the public recipe's numbers, which everything else takes from there."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

import rpmask
from rpmask.randomized_masks import paper
from rpmask.randomized_masks.levels import parse_levels
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.records import DataChoice
from rpmask.steps.decides import code_version
from rpmask.steps.defaults import starting_point
from rpmask.steps.requests import RunRequest, ScreenRequest
from rpmask.train.plan import Distillation, TrainPlan

ROOT = Path(rpmask.__file__).parent
VALUES = {
    "LEVELS": (0.54, 0.83, 0.92, 0.9375),
    "EXPONENT": 5,
    "TEMPERATURE": 0.2,
    "SAMPLING_RATIOS": (5e-5, 1e-4, 8e-5, 3e-4),
    "DRAWS_PER_RATIO": 2,
    "DRAWS": 8,
    "CANDIDATES": 9,
    "DENSE_EPOCHS": 1.0,
    "EPOCHS": 10.0,
    "LEARNING_RATE": 5e-5,
    "BATCH_SIZE": 64,
    "WEIGHT_DECAY": 0.0,
    "MAX_GRAD_NORM": 0.0,
    "WARMUP": 0.1,
    "SCHEDULE": "constant",
    "LAST_SCHEDULE": "linear",
    "EVALUATE_EVERY": 50,
    "EARLY_EPOCHS": 1.0,
    "EARLY_LEARNING_RATE": 2e-4,
    "EARLY_SCHEDULE": "linear",
    "SCORED_EVALUATIONS": 10,
    "MAX_LENGTH": 128,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_published_value(name: str) -> None:
    assert getattr(paper, name) == VALUES[name]


def test_nothing_else_is_in_the_file() -> None:
    named = {name for name in vars(paper) if name.isupper()}
    of_the_loss = {
        *("LABELS", "LOGITS", "HIDDEN", "ATTENTION", "DISTILLATION_TEMPERATURE"),
        *("LOGIT_LOSS", "ATTENTION_MEAN", "REGRESSION_TARGET"),
    }
    assert named == set(VALUES) | of_the_loss | {"TERMS"}


def test_the_levels_are_those_of_a_run() -> None:
    assert RunRequest().levels == paper.LEVELS
    assert parse_levels("cubic:4")[-1] == paper.LEVELS[-1]


def test_the_terms_of_the_loss() -> None:
    terms = PAPER_TERMS
    assert (terms.labels, terms.logits, terms.hidden, terms.attention) == (0.0, 1.0, 1.0, 1.0)
    assert terms.temperature == 1.0
    assert terms.logit_loss == "cross-entropy"
    assert terms.attention_mean == "full-length"
    assert terms.regression_target == "labels"


def test_the_length_of_rows() -> None:
    assert DataChoice().max_length == paper.MAX_LENGTH


def test_the_number_of_masks() -> None:
    assert starting_point("paper", "rte").sample.k == 9
    assert starting_point("default", "rte").sample.k == 8


def test_the_default_recipe_takes_nothing_from_it() -> None:
    """Fields that the public recipe brought have defaults that leave a run as it was."""
    plain = starting_point("default", "rte")
    assert (plain.finetune.plan.learning_rate, plain.finetune.plan.batch_size) == (1.5e-4, 32)
    assert (plain.finetune.plan.schedule, plain.level_schedule) == ("linear", "linear")
    assert (plain.finetune.plan.weight_decay, plain.finetune.plan.max_grad_norm) == (0.01, 1.0)
    assert (plain.finetune.plan.evaluate_every, plain.distilled_epochs) == (0, 0.0)
    assert (plain.screen.weight_decay, plain.screen.max_grad_norm) == (0.01, 1.0)
    assert (plain.screen.evaluate_every, plain.screen.scored_evaluations) == (0, 1)
    terms = plain.finetune.plan.distill
    assert (terms.logit_loss, terms.attention_mean) == ("divergence", "real")
    assert terms.regression_target == "teacher"


def test_ids_of_before_stay() -> None:
    """The new fields are left out of an id while they have their defaults."""
    plan = TrainPlan(learning_rate=1e-3, distill=Distillation(hidden=0.5))
    assert plan.id == "6127254f41dfdb20"
    assert ScreenRequest(budget=0.5).id == "a7b5116daa08d0ef"
    assert RunRequest(level_epochs=3.0, screen=ScreenRequest(eta=3.0)).id == "8aec8f511f3469e9"
    assert RaceTraining(full_steps=8).id == "acda7857e20ffb82"


@pytest.mark.parametrize("step", ["sample", "screen", "finetune", "pipeline"])
def test_a_key_covers_the_file(step: str, tmp_path: Path) -> None:
    roots = [tmp_path / name / "rpmask" for name in ("as it is", "changed")]
    for root in roots:
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("demo", "digits", "__pycache__"))
    file = roots[1] / "randomized_masks/paper.py"
    file.write_text(file.read_text().replace("EXPONENT = 5", "EXPONENT = 4"))
    assert code_version(step, roots[0]) != code_version(step, roots[1])


def test_no_other_file_repeats_the_numbers() -> None:
    """Of those that mean nothing else: levels below the last and sampling ratios."""
    own = {*paper.LEVELS[:-1], *paper.SAMPLING_RATIOS} - {1e-4}
    for path in ROOT.rglob("*.py"):
        numbers = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        }
        expected = own if path == Path(paper.__file__) else {5e-5, 3e-4}  # rates of training
        assert numbers & own <= expected, path
