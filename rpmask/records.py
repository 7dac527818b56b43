"""Records that the steps pass on, from a mask's recipe to the selection: frozen dataclasses written as JSON.

Standard library only. Each holds the ids of its inputs, so that every number can be traced to its runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.settings import DATA, Checked, setting

SCHEMA_VERSION = 1

SAMPLERS = ("tpe", "random", "qmc")
ROW_ALLOCATION, OWL_ALLOCATION = -1.0, -2.0  # within rows; the latter shares among blocks
IMPORTANCES = ("magnitude", "wanda", "sparsegpt", "taylor", "fisher", "true-fisher")


@dataclass(frozen=True, kw_only=True)
class StepRecord(Record):
    """Base of the records that steps write: the run that wrote it, and the versions it was computed with."""

    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskRecipe(Record):
    """Everything that decides one mask: a few hundred bytes redraw it bit for bit.

    At temperature 0 the mask keeps the most important weights, and only ties are random. allocation blends
    one sparsity for every tensor (0.0, `uniform`) with one threshold over all tensors (1.0, `global`); -1.0,
    `row`, is one sparsity for every output row; -2.0, `owl`, one for all rows of a block, by its outliers.
    importance_digest identifies the statistics that importances other than magnitude need, substeps how
    often they were taken anew on the way to the sparsity (`randomized_masks/substeps.py`). Weights that were
    cut on that way are at the end of every order, so no allocation can have them back. A twin of the
    control (`randomized_masks/twins.py`) has a number, and the share of kept weights that it swapped.
    """

    weights_digest: str
    seed: int
    sparsity: float
    temperature: float = 0.2
    sample_ratio: float = 1e-4
    votes: int | None = None
    importance: str = "magnitude"
    importance_digest: str | None = None
    allocation: float = 0.0
    floor: float = 0.1
    granularity: str = "weight"
    parent: str | None = None
    swapped: float = 0.0
    twin: int = 0
    substeps: int = 1

    @property
    def deterministic(self) -> bool:
        return self.temperature == 0.0


_CONTROL = "The control is the mask without randomness; every pool holds it."


@dataclass(frozen=True)
class SearchSpace(Checked):
    """The values that candidates may take. A range with equal ends is a fixed value.

    lists names the fields, temperature or sample_ratio, that list their values instead of giving a range.
    """

    temperature: tuple[float, ...] = setting(
        (0.05, 0.5), "", "--temperature", above=0, hint=_CONTROL
    )
    sample_ratio: tuple[float, ...] = setting(
        (2e-5, 1e-3), "", "--sample-ratio", above=0, hint=_CONTROL
    )
    importances: tuple[str, ...] = setting(("fisher",), "", "--importance", choices=IMPORTANCES)
    allocations: tuple[float, ...] = (0.0, 1.0)
    lists: tuple[str, ...] = ()

    def spelled(self, name: str) -> str:
        """Return temperature or sample_ratio as the user types it: a value, A,B,C or LOW..HIGH."""
        values = getattr(self, name)
        mark = "," if name in self.lists else ".."
        return mark.join(f"{value:g}" for value in dict.fromkeys(values))


@dataclass(frozen=True)
class TensorCount(Record):
    """Number of weights that a mask keeps in one tensor."""

    kept: int
    total: int


@dataclass(frozen=True)
class Candidate(Record):
    """One mask of a pool: its recipe, its digest and its overlap with the control."""

    recipe: MaskRecipe
    mask_digest: str
    overlap_with_control: float
    tensors: dict[str, TensorCount]
    control: bool = False
    trial: int | None = None

    @property
    def kept(self) -> int:
        return sum(count.kept for count in self.tensors.values())

    @property
    def total(self) -> int:
        return sum(count.total for count in self.tensors.values())


@dataclass(frozen=True)
class DataChoice(Checked, panel=DATA):
    """Data options of a task. Later steps inherit them from the first one."""

    data_dir: str | None = setting(
        None,
        "Folder of the data: GLUE's (RTE/train.tsv, ...), CoNLL's or WikiText's (train.txt, dev.txt), "
        "SQuAD's (train.json, dev.json) or images",
        none="RPMASK_GLUE_DIR",
    )
    train: str | None = setting(
        None,
        "Your own training rows: CSV, TSV, JSON(L), Parquet, CoNLL columns or SQuAD's JSON; or those of a "
        "dataset, hub:ORG/NAME[:CONFIG][:SPLIT]",
    )
    dev: str | None = setting(None, "Your own dev rows, or those of a dataset")
    text: str = setting("text", "Column of the text")
    text_pair: str | None = setting(None, "Column of the second text")
    label: str = setting("label", "Column of the label")
    kind: str | None = setting(
        None,
        "classification, regression, tokens, spans or language",
        none="read from the rows",
    )
    calibration: str | None = setting(
        None,
        "Text to calibrate, refit and compare on, in place of a language task's training text",
        metavar="TEXT_FILE",
    )
    selection_rows: int | None = setting(
        None, "Training rows to hold out for the selection split", none="a fifth, at most 1000"
    )
    train_rows: int | None = setting(None, "Training rows to use", none="all")
    max_length: int = setting(128, "Longest input, in tokens", at_least=2)
    split_seed: int = 0

    def check(self) -> None:
        """Refuse half of the user's own data, and a value outside its limits."""
        super().check()
        if (self.train is None) != (self.dev is None):
            given, missing = ("--train", "--dev") if self.train else ("--dev", "--train")
            raise RpmaskError(
                f"{given} needs {missing}.",
                "Dev is read by the final report only, never to select.",
            )


@dataclass(frozen=True)
class Pool(StepRecord):
    """The candidates of one level and what they were drawn from. Candidate 0 is the control.

    model is the name that the user gave. The level's weights are read from start and the dense model from
    teacher: a folder, a hub id, or a `models:/` or `runs:/` address. generation counts the pools of one study
    at one level; looked is the number of comparisons with the control in earlier generations, for which
    `select` corrects as well.
    """

    task: str
    model: str
    start: str
    teacher: str
    level: int
    sparsity: float
    seed: int
    weights_digest: str
    tensors: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    data: DataChoice = field(default_factory=DataChoice)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    statistics: dict[str, str] = field(default_factory=dict)
    study: str | None = None
    generation: int = 1
    looked: int = 0
    parent_run_id: str | None = None

    @property
    def control(self) -> int:
        """Return the index of the deterministic magnitude mask."""
        return next(i for i, candidate in enumerate(self.candidates) if candidate.control)


@dataclass(frozen=True)
class Score(Record):
    """One candidate at one rung: mean loss and metric on the held-out examples of the race.

    loss is the label loss of the calibrated model. distance, in a distilled race only, is the distance to the
    dense model's answers. train_loss is the mean training loss since the previous rung. losses_digest
    identifies the per-example losses, which are stored next to the report as an array.
    """

    candidate: int
    rung: int
    step: int
    loss: float
    metric: float
    train_loss: float
    losses_digest: str = ""
    distance: float | None = None

    @property
    def value(self) -> float:
        """Return the value that candidates are ranked by; lower is better."""
        return self.loss if self.distance is None else self.distance

    @property
    def kind(self) -> str:
        """Return what that value measures."""
        return "loss" if self.distance is None else "distance"


@dataclass(frozen=True)
class RacedCandidate(Record):
    """A candidate's rungs in the race. status is `finished`, `stopped` or `failed`."""

    index: int
    recipe_id: str
    mask_digest: str
    status: str
    rungs: tuple[Score, ...]
    reason: str = ""


@dataclass(frozen=True)
class ScreenReport(StepRecord):
    """Every rung of every candidate of a pool, and the training steps they cost.

    twins are copies of the control with a few weights swapped, numbered after the candidates. The differences
    between them show the noise of training.
    """

    pool_run_id: str
    task: str
    level: int
    sparsity: float
    metric_name: str
    engine: str
    workers: int
    threads: int
    examples: int
    batch_size: int
    steps_spent: int
    steps_full: int
    candidates: tuple[RacedCandidate, ...]
    twins: tuple[RacedCandidate, ...] = ()
    study: str | None = None


@dataclass(frozen=True)
class Selection(StepRecord):
    """The candidate that was kept, and the evidence for it.

    effect is the mean loss of the control and its twins minus the best candidate's, on the same examples. The
    interval is paired by example and includes the noise of training. noise is the standard deviation of that
    noise; it is None without twins, and the verdict is then about examples and not about masks. shrunk is the
    part of the effect that is expected to last, since the best of several looks better than it is. verdict is
    `better`, `no-evidence` or `worse`. winner is the candidate that is kept: the control unless there is
    evidence against it or the user chose another.
    """

    screen_run_id: str
    pool_run_id: str
    task: str
    level: int
    sparsity: float
    winner: int
    best: int
    control: int
    ranking: tuple[int, ...]
    verdict: str
    effect: float
    interval: tuple[float, ...]
    confidence: float
    compared: int
    metrics: dict[str, float]
    mask_digest: str
    twins: int = 0
    noise: float | None = None
    shrunk: float | None = None
