"""What each verb can be asked for: its parameters and their defaults, apart from the code.

Torch-free, so that the command line knows the defaults without loading anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rpmask.deploy.manifest import FORMS, VALUES
from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.randomized_masks import paper
from rpmask.records import IMPORTANCES, SAMPLERS, DataChoice, SearchSpace
from rpmask.steps.limits import at_least, between, check_data, check_terms, one_of, rows_to_refit
from rpmask.train.plan import SCHEDULES, Distillation, TrainPlan

# Where a jackpot search may begin without a mask that exists: the rest are runs and versions.
DRAWN_STARTS = (*IMPORTANCES, "random")

RECIPES = ("default", "paper")
PAPER_SPACE = SearchSpace(
    temperature=(paper.TEMPERATURE,),
    sample_ratio=paper.SAMPLING_RATIOS,
    importances=("magnitude",),
    allocations=(0.0,),
    lists=("sample_ratio",),
)
TAKES = ("evidence", "best", "control")
PRECISIONS = ("fp32", "bf16", "fp16")
ENGINES = ("local", "ray")


# What weights are refitted on where nobody says it: a candidate's before it races, a selected mask's
# before it is trained. Where more weights are left the systems are larger.
RACE_REFIT_ROWS = 32
REFIT_ROWS = 256
REFIT_FROM = 0.9


def refit_rows(asked: int | None, default: int, sparsity: float) -> int:
    """How many rows weights are refitted on under a mask of this sparsity."""
    if asked is not None:
        return asked
    return default if sparsity >= REFIT_FROM else 0


@dataclass(frozen=True)
class SampleRequest(Record):
    """What `sample` is asked for. start and teacher default to the model itself."""

    task: str = "demo"
    model: str = "demo"
    sparsity: float = 0.9375
    k: int = 8
    seed: int = 0
    level: int = 1
    start: str | None = None
    teacher: str | None = None
    parent_run_id: str | None = None
    recipe: str = "default"
    space: SearchSpace = field(default_factory=SearchSpace)
    granularity: str = "weight"
    floor: float = 0.1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    calibration_rows: int = 256
    sampler: str = "tpe"
    storage: str | None = None
    like: str | None = None
    data: DataChoice = field(default_factory=DataChoice)

    def check(self) -> None:
        """Refuse what no pool can be drawn with, before anything is loaded."""
        if self.k < 1:
            raise RpmaskError(f"k is {self.k}; a pool needs at least one mask.", "Give --k 8.")
        if not 0.0 < self.sparsity < 1.0:
            raise RpmaskError(
                f"The sparsity is {self.sparsity:g}; it must lie between 0 and 1.",
                "0.9375 drops fifteen weights of sixteen.",
            )
        for name, ends in (
            ("temperature", self.space.temperature),
            ("sample ratio", self.space.sample_ratio),
        ):
            if not (min(ends) > 0 and math.isfinite(max(ends))):
                raise RpmaskError(
                    f"The {name} is {min(ends):g}; it must be above 0.",
                    "The control is the mask without randomness; it is always in the pool.",
                )
        one_of("recipe", self.recipe, RECIPES)
        if self.recipe == "paper" and self.space not in (SearchSpace(), PAPER_SPACE):
            raise RpmaskError(
                "--recipe paper draws around magnitude at its own temperature and ratios.",
                "Leave --temperature, --sample-ratio, --importance and --allocation out, or the recipe.",
            )
        one_of("sampler", self.sampler, SAMPLERS)
        for importance in self.space.importances:
            one_of("importance", importance, IMPORTANCES)
        between("number of calibration rows", self.calibration_rows, 0, math.inf)
        check_data(self.data)


@dataclass(frozen=True)
class ScreenRequest(Record):
    """What `screen` is asked for. budget is the share of K full epochs that may be spent.

    refit is how many rows each candidate's kept weights are refitted on; None is RACE_REFIT_ROWS from a
    sparsity of REFIT_FROM on.

    twins are copies of the control with a few weights exchanged; their spread is the noise of training, which
    the verdict takes in. They are paid from the budget.

    distilled: candidates are trained as the selected one will be, with the terms, dropout and frozen
    embeddings that follow it; so with None. Else on the labels alone.

    Weight decay, clipping and what a score is the mean of are those of `randomized_masks/race_training.py`.

    The last ones say where candidates are trained. Of those only threads has a part in the numbers; the
    shares of a candidate are those of a Ray cluster's nodes.
    """

    seed: int = 0
    rungs: int = 3
    eta: float = 2.0
    budget: float = 0.25
    full: bool = False
    behind: float = 3.0
    twins: int = 3
    epochs: float = paper.EARLY_EPOCHS
    batch_size: int = 32
    learning_rate: float = paper.EARLY_LEARNING_RATE
    refit: int | None = None
    distilled: bool | None = None
    distill: Distillation = field(default_factory=Distillation)
    dropout: float | None = 0.0
    freeze_embeddings: bool | None = None
    examples: int = 500
    precision: str = "fp32"
    storage: str | None = None
    threads: int | None = None
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    cpus_per_candidate: float | None = None
    gpus_per_candidate: float = 0.0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    evaluate_every: int = 0
    scored_evaluations: int = 1

    def check(self) -> None:
        """Refuse what no race can be run with."""
        between("budget", self.budget, 0.0, math.inf)
        at_least("eta", self.eta, 1)
        between("learning rate", self.learning_rate, 0.0, math.inf)
        rows_to_refit(self.refit)
        check_terms(self.distill)
        if self.distilled and not self.distill.needs_teacher:
            raise RpmaskError(
                "No term of --race-distill looks at the dense model.",
                "Give --distill-logits or --distill-hidden a weight, or race with --race-labels.",
            )
        for name in ("weight_decay", "max_grad_norm", "evaluate_every"):
            at_least(name.replace("_", " "), getattr(self, name), 0)
        if self.twins < 0 or self.twins == 1:
            raise RpmaskError(
                f"--twins is {self.twins}; it takes two or more to show the noise of training.",
                "Give --twins 3, or 0 for a verdict about examples alone.",
            )
        for name in ("rungs", "batch_size", "examples", "scored_evaluations"):
            between(name.replace("_", " "), getattr(self, name), 0, math.inf)
        one_of("precision of a race", self.precision, ("fp32", "bf16"))
        one_of("engine", self.engine, ENGINES)
        for what, given in (
            ("number of workers", self.workers),
            ("number of threads", self.threads),
            ("share of CPUs", self.cpus_per_candidate),
        ):
            if given is not None:
                between(what, given, 0, math.inf)
        at_least("share of GPUs", self.gpus_per_candidate, 0)
        if self.engine != "ray" and (
            self.address or self.cpus_per_candidate or self.gpus_per_candidate
        ):
            raise RpmaskError(
                "--address, --cpus-per-candidate and --gpus-per-candidate are for a Ray cluster.",
                "Add --engine ray.",
            )


@dataclass(frozen=True)
class SelectRequest(Record):
    """What `select` is asked for.

    take is `evidence`; or `best`, `control` or a candidate's index, whatever the evidence says.
    """

    take: str = "evidence"
    alpha: float = 0.05
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be decided by."""
        if self.take not in TAKES and not self.take.isdecimal():
            raise RpmaskError(
                f"There is no choice '{self.take}'.",
                f"Give one of {', '.join(TAKES)}, or a candidate's number.",
            )
        between("error rate", self.alpha, 0.0, 1.0)


@dataclass(frozen=True)
class FinetuneRequest(Record):
    """What `finetune` is asked for. retain is what a sparser model must keep to become champion."""

    plan: TrainPlan = field(default_factory=TrainPlan)
    retain: float = 0.9
    teacher: str | None = None

    def check(self) -> None:
        """Refuse what nothing can be trained with."""
        plan = self.plan
        between("number of epochs", plan.epochs, 0.0, math.inf)
        between("learning rate", plan.learning_rate, 0.0, math.inf)
        if plan.dropout is not None and not 0 <= plan.dropout < 1:
            raise RpmaskError(
                f"The dropout is {plan.dropout:g}.", "Choose 0 or more, and less than 1."
            )
        plan.check()
        rows_to_refit(plan.refit)
        check_terms(plan.distill)
        if plan.augment < 0:
            raise RpmaskError(
                f"{plan.augment} altered copies of each row are asked for.", "Ask for 0 or more."
            )
        if plan.augment and not plan.distill.needs_teacher:
            raise RpmaskError(
                "Altered rows have no labels, and no term looks at the teacher.",
                "Leave --augment out, or distil: --distill-logits or --distill-hidden above 0.",
            )
        between("batch size", plan.batch_size, 0, math.inf)
        between("number of evaluations", plan.evaluations, 0, math.inf)
        for name in ("patience", "weight_decay", "max_grad_norm", "evaluate_every"):
            at_least(name.replace("_", " "), getattr(plan, name), 0)
        at_least("share to retain", self.retain, 0)
        one_of("precision", plan.precision, PRECISIONS)
        if plan.precision == "fp16":
            from rpmask.train.precision import check_precision

            check_precision(plan.precision)


@dataclass(frozen=True)
class RunRequest(Record):
    """What `run` is asked for: one request a step, and the levels.

    level_epochs and level_schedule train every level but the last, which has the finetune plan's. Before the
    first level the dense model is trained for distilled_epochs without a mask, by its own answers: its
    weights are then the first level's, and the teacher stays what it was. `select` judges, and keeps the
    control where nothing is known; a road goes on with the likeliest mask. dense_batch_size is the plan's if
    it is None.
    """

    levels: tuple[float, ...] = paper.LEVELS
    generations: int = 1
    sample: SampleRequest = field(default_factory=SampleRequest)
    screen: ScreenRequest = field(default_factory=ScreenRequest)
    select: SelectRequest = field(default_factory=lambda: SelectRequest(take="best"))
    finetune: FinetuneRequest = field(default_factory=FinetuneRequest)
    level_epochs: float = 2.0
    dense_epochs: float = 3.0
    dense_learning_rate: float = 5e-5
    level_schedule: str = "linear"
    distilled_epochs: float = 0.0
    dense_batch_size: int | None = None

    def check(self) -> None:
        """Refuse a road that cannot be walked."""
        for part in (self.sample, self.screen, self.select, self.finetune):
            part.check()
        take = self.select.take
        if take.isdecimal() and not (self.screen.full and int(take) < self.sample.k):
            raise RpmaskError(
                f"Candidate {take} may not be there to take: "
                + (f"--k is {self.sample.k}." if self.screen.full else "it may be stopped early."),
                f"Add --full, which stops nobody, and take 0 to {self.sample.k - 1}.",
            )
        between("number of generations", self.generations, 0, math.inf)
        between("number of epochs of a level", self.level_epochs, 0.0, math.inf)
        one_of("schedule of a level", self.level_schedule, SCHEDULES)
        at_least("number of epochs of distillation before the levels", self.distilled_epochs, 0)
        between("number of epochs of the dense model", self.dense_epochs, 0.0, math.inf)
        between("learning rate of the dense model", self.dense_learning_rate, 0.0, math.inf)


@dataclass(frozen=True)
class TuneRequest(Record):
    """What `tune` is asked for: how to sample and screen, and the training steps it may spend."""

    steps: int = 2000
    sample: SampleRequest = field(default_factory=SampleRequest)
    screen: ScreenRequest = field(default_factory=ScreenRequest)

    def check(self) -> None:
        """Refuse what nothing can be tuned with."""
        self.sample.check()
        self.screen.check()
        between("number of steps", self.steps, 0, math.inf)


@dataclass(frozen=True)
class JackpotRequest(Record):
    """What `jackpot` is asked for.

    sparsity, allocation, floor, include and exclude are those of a start that is drawn; one that
    exists has its own. model is where the weights come from if not from the start.
    """

    task: str = "demo"
    model: str | None = None
    start: str = "magnitude"
    sparsity: float = 0.9
    allocation: float = 1.0
    floor: float = 0.1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    calibration_rows: int = 256
    plan: SearchPlan = field(default_factory=SearchPlan)
    data: DataChoice = field(default_factory=DataChoice)

    def check(self) -> None:
        """Refuse a search that cannot be carried out, before anything is loaded."""
        self.plan.check()
        check_data(self.data)
        between("sparsity", self.sparsity, 0.0, 1.0)
        between("number of calibration rows", self.calibration_rows, 0, math.inf)


@dataclass(frozen=True)
class ReportRequest(Record):
    """What `report` is asked for: one task or all, a row a setting or a run, whether to log the page."""

    task: str | None = None
    each: bool = False
    log: bool = True


@dataclass(frozen=True)
class ExportRequest(Record):
    """What `export` is asked for. rows of the selection split are what answers are compared on."""

    source: str = "models:/rpmask-demo@champion"
    form: str = "packed"
    values: str = "fp32"
    rows: int = 64
    tolerance: float | None = None
    threads: int = 1

    def check(self) -> None:
        """Refuse what cannot be written."""
        one_of("form", self.form, FORMS)
        one_of("type of values", self.values, VALUES)
        if self.values != "fp32" and self.form not in ("packed", "csr"):
            raise RpmaskError(
                f"--values {self.values} is for packed models, not for '{self.form}'.",
                "Leave it out, or give --to packed.",
            )
        between("number of rows", self.rows, 0, math.inf)
        between("number of threads", self.threads, 0, math.inf)
        if self.tolerance is not None:
            between("tolerance", self.tolerance, 0.0, math.inf)


@dataclass(frozen=True)
class BenchRequest(Record):
    """What `bench` is asked for. grid lists BATCHxTOKENS, or is `auto`; seconds are spent on a shape."""

    source: str = "models:/rpmask-demo@champion"
    grid: str = "auto"
    threads: int = 1
    seconds: float = 5.0

    def check(self) -> None:
        """Refuse what cannot be timed."""
        between("number of threads", self.threads, 0, math.inf)
        between("number of seconds", self.seconds, 0.0, math.inf)
