"""`run` uses the values of its recipe and task, except where the user gives an option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rpmask.cli import entry
from rpmask.errors import RpmaskError
from rpmask.randomized_masks.paper import LEVELS
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.records import ROW_ALLOCATION, SearchSpace
from rpmask.steps import pipeline
from rpmask.steps.dense_model import dense_training
from rpmask.steps.race_plan import resolve_race
from rpmask.steps.requests import (
    FinetuneRequest,
    RunRequest,
    SampleRequest,
    ScreenRequest,
    SelectRequest,
)
from rpmask.train.plan import LABELS_ONLY, Distillation, TrainPlan


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The request that a command line makes; the pipeline itself is replaced."""
    seen: list[RunRequest] = []

    def walk(request: RunRequest, _: object) -> dict[str, Any]:
        seen.append(request)
        return {}

    monkeypatch.setattr(pipeline, "run_levels", walk)

    def ask(*arguments: str) -> RunRequest:
        with pytest.raises(SystemExit) as ended:
            entry.main(["run", *arguments, "--json"])
        assert ended.value.code == 0
        return seen.pop()

    return ask


def test_the_demo_has_its_own_defaults(asked: Any) -> None:
    demo = asked()
    assert (demo.levels, demo.finetune.plan.tighten) == (LEVELS, None)
    assert asked("--sparsity", "0.9").levels == (0.54, 0.83, 0.9)
    assert (demo.finetune.plan.epochs, demo.level_epochs, demo.screen.budget) == (0.5, 0.5, 0.08)
    assert demo.finetune.plan.distill == Distillation()
    assert demo.finetune.plan.dropout == 0.0
    assert demo.select.take == "best"
    assert asked("--take", "evidence").select.take == "evidence"
    assert asked("--epochs", "3", "--budget", "0.5").finetune.plan.epochs == 3.0


@pytest.mark.parametrize(
    ("options", "levels", "tighten", "pace"),
    [
        ("", (0.54,), 0.9375, (18, 4e-4)),
        ("--sparsity 0.99", (0.54,), 0.99, (18, 4e-4)),
        ("--sparsity 0.99 --epochs 4", (0.54,), 0.99, (4, 4e-4)),
        ("--learning-rate 8e-4", (0.54,), 0.9375, (18, 8e-4)),
        ("--sparsity 0.5", (0.5,), None, (6, 1.5e-4)),
        ("--one-shot", (0.9375,), None, (6, 1.5e-4)),
        ("--levels 0.8,0.9", (0.8, 0.9), None, (6, 1.5e-4)),
        ("--levels 0.8,0.9 --sparsity 0.95", (0.8, 0.9), 0.95, (18, 4e-4)),
        ("--granularity 2:4", (0.5,), None, (6, 1.5e-4)),
        ("--epochs 0", LEVELS, None, (0, 1.5e-4)),
        ("--recipe paper", LEVELS, None, (10, 5e-5)),
        ("--recipe paper --sparsity 0.97", (*LEVELS, 0.97), None, (10, 5e-5)),
        ("--recipe paper --levels 0.9 --sparsity 0.97", (0.9,), 0.97, (10, 5e-5)),
    ],
)
def test_a_run_races_once_and_its_training_tightens_the_mask(
    asked: Any,
    tmp_path: Path,
    options: str,
    levels: tuple[float, ...],
    tighten: float | None,
    pace: tuple[float, float],
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "a fine day,good\na wet day,bad\n" * 20)
    data = ("--task", "weather", "--train", str(rows), "--dev", str(rows))
    found = asked(*data, "--model", ".", *options.split())
    plan = found.finetune.plan
    assert (found.levels, plan.tighten) == (levels, tighten)
    assert (plan.epochs, plan.learning_rate) == pace


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_no_epochs_train_nothing_at_all(asked: Any, recipe: str) -> None:
    bare = asked("--epochs", "0", "--recipe", recipe)
    assert (bare.level_epochs, bare.distilled_epochs, bare.screen.budget) == (0.0, 0.0, 0.0)
    assert (bare.finetune.plan.refit, bare.screen.refit, bare.screen.full) == (1024, None, False)
    assert bare.sample.calibration_rows == 1024
    kept = asked("--epochs", "0", "--refit", "64", "--race-refit", "8", "--calibration-rows", "16")
    assert (kept.finetune.plan.refit, kept.screen.refit) == (64, 8)
    assert kept.sample.calibration_rows == 16


def test_a_decoder_without_training_has_few_candidates_by_row(asked: Any, tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.txt").write_text("the cat sat on the mat\n" * 200)
    data = ("--task", "wikitext2", "--data-dir", str(tmp_path), "--model", ".")
    bare = ("--epochs", "0", *data)
    found = asked(*bare)
    assert (found.sample.k, found.sample.calibration_rows, found.finetune.plan.refit) == (3, 64, 64)
    assert (found.screen.refit, found.screen.examples, found.screen.budget) == (None, 32, 0.0)
    assert found.sample.space.importances == ("wanda", "sparsegpt")
    assert found.sample.space.allocations == (ROW_ALLOCATION,)
    groups = asked(*bare, "--granularity", "2:4")
    assert groups.sample.space.allocations == (0.0,)
    assert (groups.levels, groups.finetune.plan.tighten) == ((0.5,), None)
    typed = asked(*bare, "--importance", "fisher", "--k", "5", "--examples", "9").sample
    assert (typed.space.importances, typed.space.allocations) == (("fisher",), (ROW_ALLOCATION,))
    assert typed.k == 5
    assert asked("--importance", "wanda").sample.space.allocations == (0.0, 1.0)
    listed = asked(*bare, "--temperature", "0.1,0.2").sample.space
    assert (listed.temperature, listed.lists) == ((0.1, 0.2), ("temperature",))


def test_groups_have_their_sparsity_and_are_cut_alike(asked: Any) -> None:
    found = asked("--granularity", "1:3")
    assert found.levels == (1 - 1 / 3,)
    assert found.sample.space.allocations == (0.0,)
    three = asked("--granularity", "1:3", "--levels", "0.3333,0.66667", "--sparsity", "0.6667")
    assert (three.levels, three.finetune.plan.tighten) == ((1 - 2 / 3, 1 - 1 / 3), None)
    tightened = asked(
        *("--granularity", "2:4", "--levels", "0.25", "--sparsity", "0.5", "--epochs", "0")
    )
    assert (tightened.levels, tightened.finetune.plan.tighten) == ((0.25,), 0.5)


def test_the_paper_has_its_own_values(asked: Any) -> None:
    paper = asked("--recipe", "paper")
    assert (paper.finetune.plan.epochs, paper.level_epochs) == (10.0, 10.0)
    assert paper.finetune.plan.distill == PAPER_TERMS
    assert paper.finetune.plan.dropout is None  # the model's own
    assert asked("--recipe", "paper", "--dropout", "0.2").finetune.plan.dropout == 0.2
    assert paper.screen.full
    assert (paper.screen.refit, paper.finetune.plan.refit) == (0, 0)
    assert paper.finetune.plan.freeze_embeddings is False
    assert resolve_race(paper.screen, "demo", 0.54).distilled is True
    assert paper.select.take == "best"
    assert paper.sample.space.importances == ("magnitude",)
    assert paper.sample.space.allocations == (0.0,)


def test_an_option_replaces_the_recipes_value(asked: Any) -> None:
    paper = asked(
        *("--recipe", "paper", "--epochs", "2", "--level-epochs", "1", "--take", "evidence"),
        *("--budget", "0.25", "--rungs", "1", "--distill-attention", "0", "--distill-labels", "1"),
        *("--race-refit", "16", "--refit", "64", "--freeze-embeddings"),
    )
    assert (paper.screen.refit, paper.finetune.plan.refit) == (16, 64)
    assert paper.finetune.plan.freeze_embeddings is True
    assert asked("--train-embeddings").finetune.plan.freeze_embeddings is False
    assert (paper.finetune.plan.epochs, paper.level_epochs) == (2.0, 1.0)
    assert (paper.screen.full, paper.screen.budget, paper.screen.rungs) == (False, 0.25, 1)
    assert paper.select.take == "evidence"
    terms = paper.finetune.plan.distill
    assert (terms.labels, terms.logits, terms.hidden, terms.attention) == (1.0, 1.0, 1.0, 0.0)


def test_a_race_trains_like_the_finetune_after_it(asked: Any) -> None:
    race = asked().screen
    assert race.distilled is None
    assert (race.distill, race.dropout, race.freeze_embeddings) == (Distillation(), 0.0, None)
    race = asked("--distill-attention", "1", "--dropout", "0.1", "--train-embeddings").screen
    assert (race.distill.attention, race.dropout, race.freeze_embeddings) == (1.0, 0.1, False)
    assert asked("--race-labels").screen.distilled is False
    assert asked("--recipe", "paper", "--race-distill").screen.distilled is True


def test_what_a_pool_decides_about_a_race() -> None:
    """A race is distilled if a term needs the dense model; on labels alone it drops dropout and freezing."""
    race = resolve_race(ScreenRequest(), "rte", 0.9)
    assert (race.distilled, race.freeze_embeddings, race.refit) == (True, True, 32)
    assert resolve_race(ScreenRequest(), "demo", 0.5).freeze_embeddings is False
    assert resolve_race(ScreenRequest(freeze_embeddings=True), "demo", 0.5).freeze_embeddings
    labels = resolve_race(ScreenRequest(distilled=False, dropout=0.3), "rte", 0.5)
    alone = resolve_race(ScreenRequest(distill=LABELS_ONLY), "rte", 0.5)
    assert labels == alone
    assert (labels.distilled, labels.dropout, labels.freeze_embeddings) == (False, None, False)
    with pytest.raises(RpmaskError, match="looks at the dense model"):
        ScreenRequest(distilled=True, distill=LABELS_ONLY).check()


def test_a_candidate_that_may_be_stopped_cannot_be_taken() -> None:
    for race, k in ((ScreenRequest(), 8), (ScreenRequest(full=True), 3)):
        with pytest.raises(RpmaskError, match="may not be there"):
            RunRequest(
                sample=SampleRequest(k=k), screen=race, select=SelectRequest(take="3")
            ).check()
    RunRequest(screen=ScreenRequest(full=True), select=SelectRequest(take="3")).check()


def test_the_paper_recipe_refuses_another_space() -> None:
    with pytest.raises(RpmaskError, match="its own temperature"):
        SampleRequest(recipe="paper", space=SearchSpace(temperature=(0.1, 0.1))).check()


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_dropout_outside_its_limits(rate: float) -> None:
    with pytest.raises(RpmaskError, match="dropout"):
        FinetuneRequest(plan=TrainPlan(dropout=rate)).check()


def test_max_steps_does_not_cut_the_training_of_the_dense_model() -> None:
    extra = {"max_steps": 5, "optim": "adafactor"}
    training = dense_training(RunRequest(finetune=FinetuneRequest(plan=TrainPlan(extra=extra))))
    assert training.plan.extra == {"optim": "adafactor"}
    assert training.plan.epochs == RunRequest().dense_epochs


OPTIONS = {
    "k": ("--k", "4", lambda asked: asked.sample.k, 9),
    "rate": ("--learning-rate", "1e-3", lambda asked: asked.finetune.plan.learning_rate, 5e-5),
    "batch": ("--batch-size", "16", lambda asked: asked.finetune.plan.batch_size, 64),
    "race batch": ("--batch-size", "16", lambda asked: asked.screen.batch_size, 64),
    "race rate": ("--race-rate", "1e-3", lambda asked: asked.screen.learning_rate, 2e-4),
    "dense epoch": ("--distilled-epochs", "0", lambda asked: asked.distilled_epochs, 1.0),
    "epochs": ("--epochs", "3", lambda asked: asked.finetune.plan.epochs, 10.0),
    "level epochs": ("--level-epochs", "3", lambda asked: asked.level_epochs, 10.0),
    "attention": (
        *("--distill-attention", "0", lambda asked: asked.finetune.plan.distill.attention),
        1.0,
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_replaces_the_papers_value(asked: Any, name: str) -> None:
    option, value, found, published = OPTIONS[name]
    assert found(asked("--recipe", "paper")) == published
    assert found(asked("--recipe", "paper", option, value)) == float(value)


def test_a_typed_default_replaces_the_papers_value(asked: Any) -> None:
    given = ("--k", "8", "--learning-rate", "1.5e-4", "--batch-size", "32")
    paper = asked("--recipe", "paper", *given)
    plan = paper.finetune.plan
    assert (paper.sample.k, plan.learning_rate, plan.batch_size) == (8, 1.5e-4, 32)
    assert asked("--recipe", "paper", "--k", "auto").sample.k == 9  # what an MLflow project says
    assert asked("--k", "auto").sample.k == 8


def test_the_paper_recipe_can_train_on_labels_alone(asked: Any) -> None:
    terms = ("labels", "logits", "hidden", "attention")
    given = [f"--distill-{term}={int(term == 'labels')}" for term in terms]
    paper = asked("--recipe", "paper", *given)
    assert resolve_race(paper.screen, "demo", 0.54).distilled is False


def test_both_recipes_train_the_same_dense_model(asked: Any) -> None:
    usual, paper = (
        dense_training(asked("--recipe", recipe)).plan for recipe in ("default", "paper")
    )
    apart = {"distill": LABELS_ONLY, "refit": 0, "augment": 0, "freeze_embeddings": None}
    assert replace(usual, **apart) == replace(paper, **apart)
    small = dense_training(asked("--recipe", "paper", "--batch-size", "16")).plan
    assert small.batch_size == 16
