"""The options that decide results: how masks are drawn, raced and trained."""

from __future__ import annotations

import typing
from typing import Annotated, Any

import typer

from rpmask.cli.options import RACING, SAMPLING, TRAINING
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.records import SAMPLERS
from rpmask.steps.recipes import PACES, Pace, pool_size, starting_point
from rpmask.steps.requests import RACE_REFIT_ROWS, REFIT_FROM, REFIT_ROWS, RunRequest
from rpmask.steps.searchpaces import SEARCH_PACES, TEXT_PACE
from rpmask.train.plan import Distillation, TrainPlan
from rpmask.words import percent

SEARCH = "Search"

K = Annotated[int, typer.Option("--k", "-k", help="How many masks to draw.")]
Sparsity = Annotated[
    float, typer.Option("--sparsity", "-s", help="Share of the encoder's weights to drop.")
]
Levels = Annotated[
    str | None,
    typer.Option(
        help="Rising sparsities, or cubic:N [default: 0.54,0.83,0.92 and --sparsity].",
        show_default=False,
    ),
]
LastSparsity = Annotated[
    float | None,
    typer.Option("--sparsity", "-s", help="The last level [default: 0.9375].", show_default=False),
]
Recipe = Annotated[
    str,
    typer.Option(
        help="default, or paper: the values of the paper's public code; docs/concepts.md has the differences."
    ),
]
Temperature = Annotated[
    str,
    typer.Option(
        help="Randomness of the draws: a value, a list A,B,C or a range LOW..HIGH for the study to search.",
        rich_help_panel=SAMPLING,
    ),
]
SampleRatio = Annotated[
    str,
    typer.Option(
        help="Draws per dropped weight; more draws, nearer the centre.", rich_help_panel=SAMPLING
    ),
]
Importance = Annotated[
    str,
    typer.Option(
        help="Centres to draw around: magnitude, wanda, taylor, fisher, true-fisher; comma-separated.",
        rich_help_panel=SAMPLING,
    ),
]
Allocation = Annotated[
    str,
    typer.Option(
        help="uniform, global, or a blend between 0 and 1; comma-separated.",
        rich_help_panel=SAMPLING,
    ),
]
Granularity = Annotated[
    str,
    typer.Option(
        help="weight, N:M such as 2:4, 'block RxC', neuron, head.", rich_help_panel=SAMPLING
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        help="Prune only tensors whose names match this pattern; +PATTERN adds to the rule.",
        rich_help_panel=SAMPLING,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        help="Leave tensors whose names match this pattern dense.", rich_help_panel=SAMPLING
    ),
]
CalibrationRows = Annotated[
    int,
    typer.Option(help="Training rows for data-aware importances.", rich_help_panel=SAMPLING),
]
Sampler = Annotated[
    str,
    typer.Option(help=f"Optuna sampler: {', '.join(SAMPLERS)}.", rich_help_panel=SAMPLING),
]
Generations = Annotated[
    int,
    typer.Option(
        help="Pools a level; each continues the study of the one before it.",
        rich_help_panel=SAMPLING,
    ),
]
Rungs = Annotated[
    int, typer.Option(help="How often candidates are compared.", rich_help_panel=RACING)
]
Eta = Annotated[
    float,
    typer.Option(help="One in ETA goes on from a rung.", rich_help_panel=RACING),
]
Twins = Annotated[
    int,
    typer.Option(
        help="Copies of the control with some weights exchanged at the cut, trained beside it within the "
        "budget: their spread is the noise of training that a verdict takes in; 0 for none.",
        rich_help_panel=RACING,
    ),
]
Budget = Annotated[
    float,
    typer.Option(
        help="Share of the steps that training every candidate in full would take.",
        rich_help_panel=RACING,
    ),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full", help="Train every candidate in full, the paper's way.", rich_help_panel=RACING
    ),
]
Examples = Annotated[
    int, typer.Option(help="Held-out examples to compare on.", rich_help_panel=RACING)
]
RaceRate = Annotated[
    float, typer.Option("--race-rate", help="Learning rate of the race.", rich_help_panel=RACING)
]
RaceRefit = Annotated[
    int | None,
    typer.Option(
        "--race-refit",
        min=0,
        help="Rows to refit each candidate's kept weights on, by least squares, before it races "
        f"[default: {RACE_REFIT_ROWS} from {percent(REFIT_FROM)} sparsity on].",
        show_default=False,
        rich_help_panel=RACING,
    ),
]
RaceDistill = Annotated[
    bool | None,
    typer.Option(
        "--race-distill/--race-labels",
        help="Whether candidates learn from the dense model, as in a training, or from labels alone "
        "[default: distilled].",
        show_default=False,
        rich_help_panel=RACING,
    ),
]
Take = Annotated[
    str,
    typer.Option(
        help="evidence: the best, if it is better than the control beyond chance; or best, control or a "
        "candidate's number, whatever the evidence says."
    ),
]
Epochs = Annotated[float, typer.Option(help="Epochs.", rich_help_panel=TRAINING)]
LearningRate = Annotated[float, typer.Option(help="Peak rate.", rich_help_panel=TRAINING)]
_DROPOUT = "Dropout while the weights train [default: 0; the model's own"
Dropout = Annotated[
    float | None, typer.Option(help=f"{_DROPOUT} with --dense].", rich_help_panel=TRAINING)
]
RunDropout = Annotated[
    float | None,
    typer.Option(
        help=f"{_DROPOUT} with --recipe paper, and for the dense model].", rich_help_panel=TRAINING
    ),
]


def _refitted(but: str) -> Any:
    text = "Rows to refit the kept weights on, by least squares, before they are trained "
    text += f"[default: {REFIT_ROWS} from {percent(REFIT_FROM)} sparsity on; 0 {but}]."
    return typer.Option(min=0, help=text, show_default=False, rich_help_panel=TRAINING)


Refit = Annotated[int | None, _refitted("after a jackpot")]
RunRefit = Annotated[int | None, _refitted("with --recipe paper, for --race-refit as well")]


Augment = Annotated[
    int,
    typer.Option(
        min=0,
        help="Altered copies of each training row to learn the teacher's answers to, in the same steps.",
        rich_help_panel=TRAINING,
    ),
]


def _frozen(but: str) -> Any:
    text = "Whether embeddings of tokens, positions and segments keep their values in training "
    text += f"[default: frozen; trained {but}]."
    names = "--freeze-embeddings/--train-embeddings"
    return typer.Option(names, help=text, show_default=False, rich_help_panel=TRAINING)


FreezeEmbeddings = Annotated[bool | None, _frozen("for the demo and with --dense")]
RunFreezeEmbeddings = Annotated[
    bool | None, _frozen("for the demo, with --recipe paper, and in the dense model")
]
BatchSize = Annotated[int, typer.Option(help="Rows a step.", rich_help_panel=TRAINING)]
Patience = Annotated[
    int,
    typer.Option(
        help="Stop after this many evaluations without improvement; 0 never.",
        rich_help_panel=TRAINING,
    ),
]
Evaluations = Annotated[
    int,
    typer.Option(
        help="Evaluations on the selection split; the best weights are kept.",
        rich_help_panel=TRAINING,
    ),
]
TermLabels = Annotated[
    float,
    typer.Option("--distill-labels", help="Weight of the label loss.", rich_help_panel=TRAINING),
]
TermLogits = Annotated[
    float,
    typer.Option("--distill-logits", help="Weight of the logits term.", rich_help_panel=TRAINING),
]
TermHidden = Annotated[
    float,
    typer.Option("--distill-hidden", help="Weight of the hidden states.", rich_help_panel=TRAINING),
]
TermAttention = Annotated[
    float,
    typer.Option(
        "--distill-attention", help="Weight of the attention maps.", rich_help_panel=TRAINING
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any argument of transformers.TrainingArguments.",
        rich_help_panel=TRAINING,
    ),
]
Retain = Annotated[
    float,
    typer.Option(
        help="Share of the dense metric on the selection split a sparser model must keep to become champion.",
        rich_help_panel=TRAINING,
    ),
]


def _paced(name: str, what: str, panel: str, paper: object = None) -> typing.Any:
    return _by_task(getattr(Pace(), name), getattr(PACES["demo"], name), what, panel, paper)


def _searched(name: str, what: str) -> typing.Any:
    """The paper's value, and those of the tasks that have another."""
    paces = {**SEARCH_PACES, "texts": TEXT_PACE}
    paper, others = getattr(SearchPlan(), name), ""
    for value in sorted({getattr(pace, name) for pace in paces.values()} - {paper}, key=str):
        tasks = [task for task, pace in paces.items() if getattr(pace, name) == value]
        others += f"; {value if isinstance(value, str) else f'{value:g}'} for {', '.join(tasks)}"
    shown = paper if isinstance(paper, str) else f"{paper:g}"
    return typer.Option(
        help=f"{what} [default: {shown}{others}].", show_default=False, rich_help_panel=SEARCH
    )


def _by_task(
    general: float, demo: float, what: str, panel: str, paper: object = None
) -> typing.Any:
    beside = "" if paper is None else f"; {paper:g} with --recipe paper"
    return typer.Option(
        help=f"{what} [default: {general:g}; {demo:g} for the demo{beside}].",
        show_default=False,
        rich_help_panel=panel,
    )


def _term(name: str, what: str) -> typing.Any:
    general, paper = getattr(Distillation(), name), getattr(PAPER_TERMS, name)
    return typer.Option(
        f"--distill-{name}",
        help=f"Weight of {what} [default: {general:g}; {paper:g} with --recipe paper].",
        show_default=False,
        rich_help_panel=TRAINING,
    )


def _count(text: str) -> int | None:
    """A number of masks; of `auto`, which is what an MLflow project says, the recipe's."""
    try:
        return None if text == "auto" else int(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not a valid integer.") from error


def _by_recipe(name: str, value: float, paper: float, *names: str, **option: Any) -> typing.Any:
    text = f"{name} [default: {value:g}; {paper:g} with --recipe paper]."
    return typer.Option(*names, help=text, show_default=False, **option)


_PAPER = starting_point("paper", "")
RecipeK = Annotated[
    int | None,
    _by_recipe(
        "How many masks to draw, the control included",
        *(pool_size(None, recipe) for recipe in ("default", "paper")),
        *("--k", "-k"),
        parser=_count,
        metavar="<int>",
    ),
]
RunLearningRate = Annotated[
    float | None,
    _by_recipe(
        "Peak rate",
        TrainPlan.learning_rate,
        _PAPER.finetune.plan.learning_rate,
        rich_help_panel=TRAINING,
    ),
]
RunBatchSize = Annotated[
    int | None,
    _by_recipe(
        "Rows a step",
        TrainPlan.batch_size,
        _PAPER.finetune.plan.batch_size,
        rich_help_panel=TRAINING,
    ),
]
DistilledEpochs = Annotated[
    float | None,
    _by_recipe(
        "Epochs of the dense model by its own answers, before the first level",
        RunRequest.distilled_epochs,
        _PAPER.distilled_epochs,
        rich_help_panel=TRAINING,
    ),
]
RunEpochs = Annotated[
    float | None,
    _paced("epochs", "Epochs of the last level", TRAINING, _PAPER.finetune.plan.epochs),
]
LevelEpochs = Annotated[
    float | None,
    _paced("level_epochs", "Epochs of every level before it", TRAINING, _PAPER.level_epochs),
]
RunTermLabels = Annotated[float | None, _term("labels", "the label loss")]
RunTermLogits = Annotated[float | None, _term("logits", "the logits term")]
RunTermHidden = Annotated[float | None, _term("hidden", "the hidden states")]
RunTermAttention = Annotated[float | None, _term("attention", "the attention maps")]
RunBudget = Annotated[
    float | None,
    typer.Option(
        help="Share of the steps that training every candidate in full would take "
        f"[default: {Pace().budget:g}; {PACES['demo'].budget:g} for the demo; all with --recipe paper].",
        show_default=False,
        rich_help_panel=RACING,
    ),
]
RunExamples = Annotated[int | None, _paced("examples", "Held-out examples to compare on", RACING)]
SearchEpochs = Annotated[int | None, _searched("epochs", "Epochs")]
SearchBatch = Annotated[int | None, _searched("batch_size", "Rows a step")]
SearchRate = Annotated[
    float | None,
    _searched("learning_rate", "Of the scores, with sgd; falls by a cosine, once an epoch"),
]
SearchAugment = Annotated[
    str | None,
    _searched(
        "augment", "Alter images: none, crop, or crop-flip, which must not be used on digits"
    ),
]
