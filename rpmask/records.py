"""What passes between the steps: frozen dataclasses that are written as JSON.

Standard library only. Each holds the ids of its inputs, so that a number can be followed back to
the runs it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rpmask.jsonrecord import Record

SCHEMA_VERSION = 1

SAMPLERS = ("tpe", "random", "qmc")
IMPORTANCES = ("magnitude", "wanda", "taylor", "fisher", "true-fisher")
RESTRICTIONS = ("quartic", "cosine", "off")


@dataclass(frozen=True)
class MaskRecipe(Record):
    """Everything that decides one mask; a few hundred bytes that redraw it bit for bit.

    temperature = 0 is the deterministic mask: the most important weights, randomness only in ties.
    allocation is the blend between the same sparsity in every tensor (0.0, `uniform`) and one
    threshold over all of them (1.0, `global`). importance_digest names the statistics
    (activation norms, gradients) that importances other than magnitude are computed with.

    swapped is the share of the kept weights that the twin of this number has exchanged at the cut
    (`randomized_masks/twins.py`).
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

    @property
    def deterministic(self) -> bool:
        return self.temperature == 0.0


@dataclass(frozen=True)
class SearchSpace(Record):
    """What a candidate may be. A range with equal ends is a fixed value.

    lists names those of temperature and sample_ratio that are a list of values rather than a range.
    """

    temperature: tuple[float, ...] = (0.05, 0.5)
    sample_ratio: tuple[float, ...] = (2e-5, 1e-3)
    importances: tuple[str, ...] = ("fisher",)
    allocations: tuple[float, ...] = (0.0, 1.0)
    lists: tuple[str, ...] = ()

    def spelled(self, name: str) -> str:
        """temperature or sample_ratio as it is typed: a value, a list A,B,C or a range LOW..HIGH."""
        values = getattr(self, name)
        mark = "," if name in self.lists else ".."
        return mark.join(f"{value:g}" for value in dict.fromkeys(values))


@dataclass(frozen=True)
class TensorCount(Record):
    """How many weights of one tensor a mask keeps."""

    kept: int
    total: int


@dataclass(frozen=True)
class Candidate(Record):
    """One mask of a pool: what draws it, what it came out as, and how near the control it lies."""

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
class DataChoice(Record):
    """Which data a task is loaded with; later steps use what the first one was told."""

    data_dir: str | None = None
    train: str | None = None
    dev: str | None = None
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    kind: str | None = None
    selection_rows: int | None = None
    train_rows: int | None = None
    max_length: int = 128
    split_seed: int = 0


@dataclass(frozen=True)
class Pool(Record):
    """The candidates of one level, and what they were drawn from. Candidate 0 is the control.

    model is what the user named; start and teacher are where the level's weights and the dense
    model are read from (a folder, a hub id, a `models:/` or `runs:/` address).

    generation counts the pools of a study at one level; looked is how many rivals of the control
    earlier generations compared, for which `select` has to correct as well.
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
    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def control(self) -> int:
        """Index of the deterministic magnitude mask."""
        return next(i for i, candidate in enumerate(self.candidates) if candidate.control)


@dataclass(frozen=True)
class Score(Record):
    """One candidate at one rung: mean loss and metric on the held-out examples of the race.

    The loss is that of the labels, at the confidence that suits the model; distance is how far its answers
    are from the dense model's, in a distilled race. train_loss is the mean training loss since the rung
    before; losses_digest names the per-example losses, which lie beside the report as an array.
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
        """What candidates are ranked by; lower is better."""
        return self.loss if self.distance is None else self.distance

    @property
    def kind(self) -> str:
        """The name of that value."""
        return "loss" if self.distance is None else "distance"


@dataclass(frozen=True)
class RacedCandidate(Record):
    """A candidate's way through the race. status: `finished`, `stopped` or `failed`."""

    index: int
    recipe_id: str
    mask_digest: str
    status: str
    rungs: tuple[Score, ...]
    reason: str = ""


@dataclass(frozen=True)
class ScreenReport(Record):
    """Every rung of every candidate of a pool, and what it cost.

    twins are copies of the control with a few weights exchanged, numbered after the candidates: what lies
    between them is the noise of training.
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
    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection(Record):
    """Which candidate was kept, and the evidence for it.

    effect is the loss of the control, as a mean with its twins', minus the best candidate's, on the same
    examples; the interval is paired by example and holds the noise of training, which the twins show.
    noise is the standard deviation of that noise, None where no twins ran: the verdict is then about
    examples and not about masks. shrunk is what of the effect can be expected to last: the best of
    several looks better than it is. verdict is `better`, `no-evidence` or `worse`. winner is the candidate
    that is kept: the control when there is no evidence against it, unless another was asked for.
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
    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinetuneResult(Record):
    """The trained model of a selection: dev metrics beside the dense model's.

    selection and dense_selection are the same two on the selection split, which decides who is champion.
    agreement is the share of rows of the first dev split that both classify alike, agreement_majority what
    always giving the dense model's commonest answer comes to; there is neither of a regression or without
    another model. Where retention is high and agreement low, as many rows are right, but other ones.
    """

    selection_run_id: str | None
    task: str
    model: str
    teacher: str
    level: int
    sparsity: float
    mask_digest: str | None
    dense: dict[str, float]
    dev: dict[str, float]
    majority: dict[str, float]
    primary: str
    retention: float
    best_step: int
    steps: int
    nonzero: int
    agreement: float | None = None
    agreement_majority: float | None = None
    selection: dict[str, float] = field(default_factory=dict)
    dense_selection: dict[str, float] = field(default_factory=dict)
    data: DataChoice = field(default_factory=DataChoice)
    run_id: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchEpoch(Record):
    """A jackpot search after an epoch, on the selection split; epoch 0 is the start itself.

    train_loss is the mean over the epoch's steps; overlap is with the starting mask.
    """

    epoch: int
    step: int
    train_loss: float
    loss: float
    metric: float
    swaps: int
    overlap: float


@dataclass(frozen=True)
class JackpotResult(Record):
    """A mask found with the weights frozen. Metrics are dev's: dense, under the start, under it.

    start says where the search began; the weights' digests are of every parameter of the model,
    before and after. model is what the user named, weights where they are read from. norm_statistics is
    `none` for a model without batch norms; the statistics' digests are of its running means and variances,
    of the dense model and under the mask that was found.
    """

    task: str
    model: str
    weights: str
    start: str
    level: int
    sparsity: float
    start_digest: str
    mask_digest: str
    weights_digest_before: str
    weights_digest_after: str
    dense: dict[str, float]
    start_metrics: dict[str, float]
    dev: dict[str, float]
    primary: str
    epochs: tuple[SearchEpoch, ...]
    best_epoch: int
    overlap: float
    restriction: str
    norm_statistics: str
    tensors: dict[str, TensorCount]
    data: DataChoice = field(default_factory=DataChoice)
    run_id: str = ""
    statistics_digest_before: str = ""
    statistics_digest_after: str = ""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)
