"""The request of each pipeline verb: its parameters, their defaults, help and limits.

Torch-free, so that the command line knows them without loading anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rpmask.errors import RpmaskError
from rpmask.masks.granularity import at_sparsity
from rpmask.randomized_masks import paper
from rpmask.records import SAMPLERS, DataChoice, SearchSpace
from rpmask.settings import SAMPLING, TRAINING, Checked, setting, setting_like, settings_of
from rpmask.steps.screen_request import ScreenRequest, SelectRequest
from rpmask.train.plan import SCHEDULES, TrainPlan

RECIPES = ("default", "paper")
PAPER_SPACE = SearchSpace(
    temperature=(paper.TEMPERATURE,),
    sample_ratio=paper.SAMPLING_RATIOS,
    importances=("magnitude",),
    allocations=(0.0,),
    lists=("sample_ratio",),
)


@dataclass(frozen=True)
class SampleRequest(Checked):
    """The parameters of `sample`. start and teacher default to the model itself."""

    task: str = setting(
        "demo",
        "demo, a GLUE task, conll2003, squad, squad_v2, wikitext2, digits, or a name for your own data",
        "--task",
        "-t",
        auto=True,
    )
    model: str = setting(
        "demo",
        "A folder, a hub id, models:/NAME@ALIAS, or demo",
        "--model",
        "-m",
        shown="a built-in task's own; for other texts bert-base-uncased",
        auto=True,
    )
    k: int = setting(
        8, "Number of masks to draw, including the control", "--k", "-k", auto=True, at_least=1
    )
    sparsity: float = setting(
        0.9375,
        "Share of the prunable weights to drop",
        "--sparsity",
        "-s",
        above=0,
        below=1,
        hint="0.9375 drops fifteen of sixteen weights.",
    )
    seed: int = setting_like(TrainPlan, "seed")
    level: int = 1
    start: str | None = None
    teacher: str | None = None
    parent_run_id: str | None = None
    recipe: str = setting(
        "default",
        "default, or paper for the values of the paper's code",
        auto=True,
        choices=RECIPES,
    )
    space: SearchSpace = field(default_factory=SearchSpace)
    granularity: str = setting(
        "weight", "weight, N:M such as 2:4, 'block RxC', neuron or head", panel=SAMPLING
    )
    floor: float = 0.1
    include: tuple[str, ...] = setting(
        (),
        "Prune only tensors whose names match this pattern; +PATTERN adds to the default rule",
        panel=SAMPLING,
    )
    exclude: tuple[str, ...] = setting(
        (), "Leave tensors whose names match this pattern dense", panel=SAMPLING
    )
    calibration_rows: int = setting(
        256,
        "Training rows that importances other than magnitude are computed on",
        at_least=1,
        panel=SAMPLING,
    )
    substeps: int | None = setting(
        None,
        "Cuts to the sparsity for importances other than magnitude, with weights refitted in between",
        none="each keeps about 42 % of what is left: 4 from dense to 97 %, 1 to 54 %",
        at_least=1,
        panel=SAMPLING,
    )
    sampler: str = setting(
        "tpe", f"Optuna sampler: {', '.join(SAMPLERS)}", choices=SAMPLERS, panel=SAMPLING
    )
    storage: str | None = setting_like(ScreenRequest, "storage")
    like: str | None = setting(
        None,
        "Continue the Optuna study of this pool, or of the pool that this run screened",
        metavar="RUN_ID",
    )
    data: DataChoice = settings_of(DataChoice)

    def check(self) -> None:
        """Refuse a pool that cannot be drawn, before anything is loaded."""
        super().check()
        if self.recipe == "paper" and self.space not in (SearchSpace(), PAPER_SPACE):
            raise RpmaskError(
                "--recipe paper draws around magnitude at its own temperature and ratios.",
                "Leave --temperature, --sample-ratio, --importance and --allocation out, or the recipe.",
            )
        if (self.substeps or 1) > 1 and ":" in self.granularity:
            raise RpmaskError(
                f"--granularity {self.granularity} fixes the sparsity, so there is nothing to reach in "
                f"{self.substeps} sub-steps.",
                "Leave --substeps out.",
            )


@dataclass(frozen=True)
class FinetuneRequest(Checked):
    """The parameters of `finetune`."""

    plan: TrainPlan = settings_of(TrainPlan)
    retain: float = setting(
        0.9,
        "Share of the dense metric on the selection split that a sparser model must keep to become champion",
        at_least=0,
        panel=TRAINING,
    )
    teacher: str | None = setting(None, "Model to learn from", none="the dense model")

    def check(self) -> None:
        """Refuse a training that cannot be carried out."""
        super().check()
        if self.plan.augment and not self.plan.distill.needs_teacher:
            raise RpmaskError(
                "--augment needs a teacher: perturbed rows have no labels.",
                "Leave --augment out, or distil: --distill-logits or --distill-hidden above 0.",
            )
        if self.plan.precision == "fp16":
            from rpmask.train.precision import check_precision

            check_precision(self.plan.precision)


@dataclass(frozen=True)
class RunRequest(Checked):
    """The parameters of `run`: a request for each step, and the levels.

    level_epochs and level_schedule train every level but the last, which has the finetune plan's. Before the
    first level the dense model is trained for distilled_epochs on its own answers, without a mask: these are
    the first level's weights, and the teacher stays as it was. `run` continues with the top-ranked mask by
    default. dense_batch_size is the plan's if it is None.
    """

    levels: tuple[float, ...] = paper.LEVELS
    generations: int = setting(
        1,
        "Pools per level; each continues the study of the one before it",
        at_least=1,
        panel=SAMPLING,
    )
    sample: SampleRequest = settings_of(SampleRequest)
    screen: ScreenRequest = settings_of(ScreenRequest)
    select: SelectRequest = settings_of(lambda: SelectRequest(take="best"))
    finetune: FinetuneRequest = settings_of(FinetuneRequest)
    level_epochs: float = setting(
        2.0, "Epochs at every level but the last", at_least=0, panel=TRAINING
    )
    dense_epochs: float = setting(
        3.0, "Epochs of the dense model, if it has to be trained", above=0, panel=TRAINING
    )
    dense_learning_rate: float = setting(
        5e-5, "Peak learning rate of the dense model", "--dense-rate", above=0, panel=TRAINING
    )
    level_schedule: str = setting("linear", choices=SCHEDULES)
    distilled_epochs: float = setting(
        0.0,
        "Epochs before the first level in which the dense model is distilled from itself",
        at_least=0,
        panel=TRAINING,
    )
    dense_batch_size: int | None = None

    @property
    def sparsity(self) -> float:
        """The sparsity in the end: that of the last level, or the one that its training tightens to."""
        return self.finetune.plan.tighten or self.levels[-1]

    def check(self) -> None:
        """Refuse a candidate that may not be there to take, and everything its steps refuse."""
        super().check()
        take = self.select.take
        if take.isdecimal() and not (self.screen.full and int(take) < self.sample.k):
            raise RpmaskError(
                f"Candidate {take} may not be there to take: "
                + (f"--k is {self.sample.k}." if self.screen.full else "it may be stopped early."),
                f"Add --full, which stops no candidate, and take 0 to {self.sample.k - 1}.",
            )
        for sparsity in (*self.levels, self.sparsity):
            reached = at_sparsity(self.sample.granularity, sparsity)
        if reached != self.sample.granularity:
            raise RpmaskError(
                f"A sparsity of {self.sparsity:g} is that of {reached} masks, not of "
                f"{self.sample.granularity}.",
                f"Give --granularity {reached}, or another --sparsity (or a last level).",
            )
        self.finetune.plan.check_granularity(self.sample.granularity)


@dataclass(frozen=True)
class TuneRequest(Checked):
    """The parameters of `tune`: how to sample and screen, and the training steps to spend."""

    steps: int = setting(
        2000, "Training steps that all races together may take; one race always runs", at_least=1
    )
    sample: SampleRequest = settings_of(SampleRequest)
    screen: ScreenRequest = settings_of(ScreenRequest)

    def check(self) -> None:
        """Refuse races that spend nothing: there would be no end to them."""
        super().check()
        if self.screen.budget == 0:
            raise RpmaskError(
                "--budget is 0, and `tune` races until --steps training steps are spent.",
                "Give --budget a number above 0.",
            )


@dataclass(frozen=True)
class ReportRequest(Checked):
    """The parameters of `report`. each gives a row per run instead of a row per setting."""

    task: str | None = setting(None, "Only this task", "--task", "-t", none="all")
    each: bool = setting(False, "One row per run, instead of one row for all seeds")
    log: bool = setting(True, "Log the HTML page to its own run", "--log/--no-log")
