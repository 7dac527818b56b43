"""The rows of the study: which commands are compared, and in which order they are worth running.

A row is one `rpmask run`; those of a jackpot search and train after it. Arms of a question are given the
same training steps, races included, within the rounding of epochs to steps; dense teachers are not counted,
since every arm of a seed has the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TASKS = {  # how long its dense model is trained, and what is read of it
    "rte": ("--dense-epochs", "5"),
    "mrpc": ("--dense-epochs", "4"),
    "sst2": ("--dense-epochs", "3", "--train-rows", "8000"),
    "cola": ("--dense-epochs", "6"),
}
SPARSITIES = (0.9375, 0.97, 0.99)
BUDGET = 8.0  # epochs of the train split, races included: what every arm may spend
# Higher rates than the defaults, for an encoder this narrow; the rows of "rate" are there to judge them.
TRAINING = ("--learning-rate", "4e-4")
COMMON = (*TRAINING, "--dense-rate", "1e-4")
K = 8
SEEDS = 3

LABELS = ("--distill-labels", "1", "--distill-logits", "0", "--distill-hidden", "0")

UNREFITTED = ("--race-refit", "0", "--refit", "0")
# What came after refitting: races that learn from the dense model, at the training's rate, and embeddings
# that stay as they are.
LABELLED = ("--race-labels", "--race-rate", "2e-4")
BEFORE = (*LABELLED, "--train-embeddings")

# The paper's recipe is 72 epochs as it stands: here each of its parts is a ninth as long.
_SHARE = BUDGET / 72
ARMS: dict[str, tuple[str, ...]] = {
    "magnitude": (
        *("--one-shot", "--importance", "magnitude", "--allocation", "uniform", "--k", "1"),
        *("--budget", "0.05", "--rungs", "1", "--epochs", f"{BUDGET - 0.05:g}"),
        *UNREFITTED,
        "--train-embeddings",
        *LABELS,
    ),
    "paper": (
        *("--levels", "0.54,0.83,0.92,{sparsity:g}"),
        *("--recipe", "paper", "--k", str(K), "--budget", f"{_SHARE:.4f}", "--rungs", "1"),
        *("--epochs", f"{10 * _SHARE:.4f}", "--level-epochs", f"{10 * _SHARE:.4f}"),
    ),
    "ours": (  # what refitting costs comes off the training: a third of an epoch for each of the two
        *("--one-shot", "--k", str(K), "--budget", "0.25", "--epochs", "5.4"),
        *("--race-rate", "4e-4"),
    ),
    "levels": (  # as ours, an epoch at each level before the last; two of the four are refitted
        *("--levels", "0.54,0.83,0.92,{sparsity:g}"),
        *("--k", str(K), "--budget", "0.0625", "--level-epochs", "1", "--epochs", "1.8"),
        *("--race-rate", "4e-4"),
    ),
    # One race, at 54 %; then cuts to the end while the weights train. Ten calibrations of 256 rows take the
    # time of 80 steps at most. The training learns the dense model's answers to perturbed rows as well.
    "tightened": (
        *("--levels", "0.54", "--k", str(K), "--budget", "0.0625", "--epochs", "7"),
        *("--race-rate", "4e-4", "--learning-rate", "8e-4", "--augment", "4"),
    ),
}


@dataclass(frozen=True)
class Row:
    """One `rpmask run`: the question it answers, its arm, and where."""

    question: str
    arm: str
    task: str
    sparsity: float
    seed: int
    options: tuple[str, ...]
    search: tuple[
        str, ...
    ] = ()  # a jackpot search from the selected mask, and the training after it
    after: tuple[str, ...] = ()
    precision: str = "bf16"

    @property
    def name(self) -> str:
        """Its name in files and on the command line."""
        return f"{self.question}-{self.arm}-{self.task}-{self.sparsity * 100:g}-{self.seed}"

    def command(self, model: str) -> list[str]:
        """What is typed."""
        return [
            *("rpmask", "run", "--task", self.task, "--model", model),
            *("--sparsity", f"{self.sparsity:g}", "--seed", str(self.seed)),
            *("--precision", self.precision),
            *COMMON,
            *TASKS[self.task],
            *(option.format(sparsity=self.sparsity) for option in self.options),
            *("--experiment", "study"),
        ]

    def searching(self, selected: str) -> list[str]:
        """The jackpot search from a selected mask."""
        return [
            *("rpmask", "jackpot", "--from", selected, "--task", self.task),
            *("--seed", str(self.seed), *self.search, "--experiment", "study"),
        ]

    def training_after(self, found: str) -> list[str]:
        """The training of the mask that the search found."""
        return [
            *("rpmask", "finetune", "--from", found, "--task", self.task),
            *("--seed", str(self.seed), "--precision", self.precision, *TRAINING),
            *(*self.after, "--experiment", "study"),
        ]


# One factor at a time away from "ours", or from the arm that its name begins with; of an option that is
# given twice the last one holds. The budget is shared out anew where a factor changes what the races cost.
_PLAIN = (*BEFORE, *UNREFITTED, "--epochs", "6")
_FISHER = ("--importance", "fisher", "--allocation", "global")
_DEFAULTS = (  # the epochs, rates and races of `rpmask run` without options
    *("--epochs", "18", "--budget", "0.25", "--augment", "0"),
    *("--race-rate", "2e-4", "--learning-rate", "4e-4"),
)
ONE_FACTOR: dict[str, tuple[str, ...]] = {
    "race-labels": LABELLED,
    "train-embeddings": ("--train-embeddings",),
    "refit-alone": BEFORE,
    "refit-training-only": ("--race-refit", "0", "--epochs", "5.7"),
    "long": ("--epochs", "21.4"),  # three times the budget
    "magnitude-only": ("--importance", "magnitude"),
    "lean-race": ("--budget", "0.1", "--epochs", "6.6"),
    "take-control": ("--take", "control"),
    # Fisher with one threshold, and what a race costs given to its training. A mask can be named only where
    # none is stopped, so that its race is a whole one; it decides nothing.
    "unraced": (
        *("--k", "3", "--full", "--take", "2", "--epochs", "7.4"),
        *("--budget", "0.0005", "--rungs", "1", "--race-refit", "0"),
    ),
    "calibration-2048": ("--calibration-rows", "2048"),
    "true-fisher": ("--importance", "true-fisher"),
    "double-rate": ("--learning-rate", "8e-4", "--race-rate", "8e-4"),
    "take-evidence": ("--take", "evidence"),
    "k2": ("--k", "2", "--budget", "0.1", "--epochs", "7.2"),
    "k8": (),  # (c) once more, with the dense model that the other numbers of masks were walked with
    "k4": ("--k", "4", "--budget", "0.5"),
    "k16": ("--k", "16", "--budget", "0.125", "--epochs", "5.1"),
    "generations-3": ("--generations", "3", "--budget", "0.0833", "--epochs", "4.8"),
    "no-logits": ("--distill-logits", "0", "--distill-labels", "1"),
    "no-hidden": ("--distill-hidden", "0"),
    "attention": ("--distill-attention", "1"),
    "labels-only": LABELS,
    "augment": ("--augment", "4"),
    # Away from refitting alone, and from the one without it: each was (c) when these were walked.
    "refit-alone-long": (*BEFORE, "--epochs", "21.4"),
    "no-refit": _PLAIN,
    "no-refit-lean-race": (*_PLAIN, "--budget", "0.1", "--epochs", "7.2"),
    "no-refit-take-evidence": (*_PLAIN, "--take", "evidence"),
    "levels-long": ("--level-epochs", "4", "--epochs", "8.8"),  # three times the budget
    "levels-again": (),  # (d) once more, with the dense model of (e)
    "tightened-unperturbed": ("--augment", "0"),
    "tightened-defaults": _DEFAULTS,
    # The same at the default rate of a training that does not tighten.
    "tightened-slowly": (*_DEFAULTS, "--learning-rate", "1.5e-4"),
    "levels-defaults": (  # the defaults of `rpmask run` when it had four levels
        *("--level-epochs", "2", "--epochs", "6", "--budget", "0.25"),
        *("--race-rate", "2e-4", "--learning-rate", "1.5e-4"),
    ),
}
# At 97 % these were walked beside the (c) of there.
SPARSER = (
    *("unraced", "take-control", "labels-only", "no-hidden", "no-logits", "calibration-2048"),
    *("augment", "true-fisher", "double-rate"),
    "levels-again",
)
# At 97 %, with every seed.
MORE_SEEDS = ("levels-long", "tightened-defaults", "tightened-slowly", "tightened-unperturbed")
FACTOR_TASKS = ("rte", "cola", "mrpc", "sst2")
# Masks alone: one race of every one for an epoch, and a training that is only there to end the command.
_RACE = ("--one-shot", "--full", "--rungs", "3", "--epochs", "0.05")
_POOL = (
    *("--importance", "magnitude,wanda,taylor,fisher", "--allocation", "uniform,0.5,global"),
    *("--k", "12"),
)
_CENTRES = (*_POOL, *UNREFITTED, *LABELLED)
# A first look at the same masks after a single, tiny step: as they are, and with refitted weights.
_LOOK = ("--one-shot", "--budget", "0.0005", "--rungs", "1", "--epochs", "0.05")
RACES: dict[str, tuple[str, ...]] = {
    "centres": (*_CENTRES, *_RACE),
    "look": (*_CENTRES, *_LOOK),
    "look-refit": (*_CENTRES, *_LOOK, "--race-refit", "64"),
    "noise": (*_FISHER, "--k", "12", *UNREFITTED, *LABELLED, *_RACE),
}
# The two Fishers as (c) races its centres, to the end, where masks matter more.
FISHERS = (
    *("--importance", "fisher,true-fisher", "--allocation", "uniform,global", "--k", "5"),
    *("--race-rate", "4e-4", *_RACE),
)
# How fast a pruned encoder should learn: short trainings under one mask, judged on the selection split.
_SHORT = (
    *("--one-shot", "--k", "1", "--budget", "0.05", "--rungs", "1", "--epochs", "2"),
    *UNREFITTED,
    *BEFORE,
)
_TRAINED: dict[str, tuple[str, ...]] = {"teacher": (), "labels": LABELS}
RATES: dict[tuple[str, str, str], tuple[str, ...]] = {
    (how, rate, dropout): (*_SHORT, *_TRAINED[how], "--learning-rate", rate, "--dropout", dropout)
    for how, rates in {"teacher": ("1.5e-4", "4e-4", "8e-4"), "labels": ("4e-4",)}.items()
    for rate in rates
    for dropout in ("0.1", "0")
}
# Every centre without noise, raced as (c) races and all of them to the end, and each trained on: does what
# the race saw early say who ends best? The race itself is walked once; these rows find it done.
_CENTRES_RACED = (*_RACE, *_POOL, "--race-rate", "4e-4")
EARLY: dict[str, tuple[str, ...]] = {
    f"take{i}": (*_CENTRES_RACED, "--take", str(i), "--epochs", "2") for i in range(12)
}
EARLY_TASKS = ("cola", "sst2")
JACKPOT_TASKS = ("cola", "sst2", "mrpc")
# A jackpot between the selected mask of (c) and its training, in an epoch that the training is shorter by;
# neither is refitted, which would undo what the search found for the weights as they are. A search's batches
# are a training's, and its rate is the demo's, whose searches are short as well.
_SEARCH = ("--epochs", "1", "--batch-size", "32", "--learning-rate", "1")
JACKPOTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "finetune": ((), (), ()),
    "jackpot-finetune": (("--epochs", "0.05"), _SEARCH, ("--epochs", "4.4")),
}


def one_changed(arm: str) -> tuple[str, ...]:
    """The options of a row with one factor changed."""
    named = arm.partition("-")[0]
    return (*ARMS[named if named in ("levels", "tightened") else "ours"], *ONE_FACTOR[arm])


def rows(seeds: int = SEEDS) -> Iterator[Row]:
    """Every row, the most telling first: a seed of all tasks and arms before the next seed."""
    for seed in range(seeds):
        for sparsity in SPARSITIES:
            for task in TASKS:
                for arm, options in ARMS.items():
                    yield Row("main", arm, task, sparsity, seed, options)
    for arm, options in RACES.items():
        for task in TASKS:
            yield Row("race", arm, task, 0.9375, 0, options)
    for seed in range(seeds):
        for task in TASKS:
            yield Row("race", "fishers", task, 0.97, seed, FISHERS)
    for arm, options in EARLY.items():
        for task in EARLY_TASKS:
            yield Row("early", arm, task, 0.9375, 0, options)
    for arm, (changed, search, after) in JACKPOTS.items():
        for task in JACKPOT_TASKS:
            options = (*ARMS["ours"], "--refit", "0", *changed)
            yield Row("jackpot", arm, task, 0.9375, 0, options, search, after)
    for arm, options in RATES.items():
        yield Row("rate", "-".join(arm), "sst2", 0.9375, 0, options)
    for seed in range(seeds):
        for arm in ONE_FACTOR:
            for task in FACTOR_TASKS:
                yield Row("factor", arm, task, 0.9375, seed, one_changed(arm))
    places = {0.99: ("refit-alone", "no-refit"), 0.97: SPARSER}
    for sparsity, arms in places.items():
        for arm in arms:
            for task in TASKS:
                yield Row("factor", arm, task, sparsity, 0, one_changed(arm))
    for seed in range(seeds):
        for task in TASKS:
            for arm in MORE_SEEDS:
                yield Row("factor", arm, task, 0.97, seed, one_changed(arm))
