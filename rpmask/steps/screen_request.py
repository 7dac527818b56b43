"""The requests of `screen` and `select`: how candidates race, and how the winner is chosen. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from rpmask.errors import RpmaskError
from rpmask.randomized_masks import paper
from rpmask.settings import ENGINE, SAMPLING, SCREENING, TRAINING, Checked, setting, setting_like
from rpmask.train.plan import REFIT_FROM, Distillation, TrainPlan
from rpmask.words import percent

TAKES = ("evidence", "best", "control")
ENGINES = ("local", "ray")
# The default number of rows on which a candidate's kept weights are refitted before it races.
RACE_REFIT_ROWS = 32


@dataclass(frozen=True)
class ScreenRequest(Checked, panel=SCREENING):
    """The parameters of `screen`. budget is the share of K full epochs that may be spent.

    twins are copies of the control with a few weights exchanged. The spread between them is the noise of
    training, which the verdict takes into account. They are paid from the budget.

    distilled candidates are trained like the selected one will be: with the same terms, dropout and frozen
    embeddings. None means distilled where a term needs the teacher.

    Weight decay, clipping and the evaluations that a score averages are those of
    `randomized_masks/race_training.py`.

    The fields of the engine say where candidates train. Of those only threads changes the numbers.
    """

    seed: int = setting_like(TrainPlan, "seed")
    budget: float = setting(
        0.25,
        "Share of the steps that an epoch for every candidate would take; 0 compares without training",
        at_least=0,
    )
    full: bool = setting(False, "Train every candidate for the whole epoch, as in the paper")
    examples: int = setting(500, "Held-out examples used to compare candidates", at_least=1)
    rungs: int = setting(3, "Number of comparisons during the race", at_least=1)
    eta: float = setting(2.0, "Keep the top 1/ETA at each rung", metavar="ETA", at_least=1)
    behind: float = 3.0
    twins: int = setting(
        3,
        "Copies of the control with a few weights exchanged, trained within the budget; their spread "
        "measures the training noise for the verdict. 0 for none, as with --budget 0",
    )
    epochs: float = paper.EARLY_EPOCHS
    batch_size: int = setting_like(TrainPlan, "batch_size", panel=TRAINING)
    learning_rate: float = setting(
        paper.EARLY_LEARNING_RATE, "Learning rate of the race", "--race-rate", above=0
    )
    refit: int | None = setting(
        None,
        "Rows on which least squares refits each candidate's kept weights before the race",
        "--race-refit",
        none=f"{RACE_REFIT_ROWS} from {percent(REFIT_FROM)} sparsity and above, and with --budget 0",
        at_least=0,
    )
    distilled: bool | None = setting(
        None,
        "Whether candidates learn from the dense model, as in training, or from labels alone",
        "--race-distill/--race-labels",
        none="distilled",
    )
    distill: Distillation = field(default_factory=Distillation)
    dropout: float | None = 0.0
    freeze_embeddings: bool | None = None
    precision: str = setting_like(TrainPlan, "precision", choices=("fp32", "bf16"), panel=TRAINING)
    storage: str | None = setting(
        None,
        "Optuna storage: the URL of a relational database",
        none=".rpmask/optuna.journal",
        panel=SAMPLING,
    )
    workers: int | None = setting(
        None,
        "Candidates that train at the same time",
        none="1; on a GPU as many as fit in its memory, with Ray as many as fit in the cluster",
        at_least=1,
        panel=ENGINE,
    )
    threads: int | None = setting(
        None,
        "CPU threads per candidate; they change the last digits of the losses",
        none="the cores divided by the workers, with Ray --cpus-per-candidate",
        at_least=1,
        panel=ENGINE,
    )
    engine: str = setting(
        "local",
        "Where candidates train: local, in processes on this machine, or ray",
        choices=ENGINES,
        panel=ENGINE,
    )
    address: str | None = setting(
        None,
        "Ray cluster, HOST:PORT or auto",
        none="RAY_ADDRESS, else a cluster on this machine",
        panel=ENGINE,
    )
    cpus_per_candidate: float | None = setting(
        None, "CPUs of a Ray node per candidate", none="--threads, else 1", above=0, panel=ENGINE
    )
    gpus_per_candidate: float = setting(
        0.0,
        "GPUs of a Ray node per candidate; with 0.25 four candidates share a GPU",
        at_least=0,
        panel=ENGINE,
    )
    weight_decay: float = setting(0.01, at_least=0)
    max_grad_norm: float = setting(1.0, at_least=0)
    evaluate_every: int = setting(0, at_least=0)
    scored_evaluations: int = setting(1, at_least=1)

    def check(self) -> None:
        """Refuse a race that cannot be run."""
        super().check()
        if self.distilled and not self.distill.needs_teacher:
            raise RpmaskError(
                "--race-distill needs a loss term that looks at the dense model.",
                "Give --distill-logits or --distill-hidden a weight, or race with --race-labels.",
            )
        if self.full and self.budget == 0:
            raise RpmaskError(
                "--full trains every candidate, and --budget 0 trains none.",
                "Leave out one of them. --recipe paper means --full.",
            )
        if self.twins < 0 or self.twins == 1:
            raise RpmaskError(
                f"--twins is {self.twins}; two or more show the noise of training.",
                "Give --twins 3, or 0 for a verdict about examples alone.",
            )
        if self.engine != "ray" and (
            self.address or self.cpus_per_candidate or self.gpus_per_candidate
        ):
            raise RpmaskError(
                "--address, --cpus-per-candidate and --gpus-per-candidate are for a Ray cluster.",
                "Add --engine ray.",
            )


@dataclass(frozen=True)
class SelectRequest(Checked):
    """The parameters of `select`. take may also be a candidate's index, whatever the evidence says."""

    take: str = setting(
        "evidence",
        "evidence: the best candidate if it beats the control beyond chance; or best, control or a "
        "candidate's number, whatever the evidence says",
    )
    alpha: float = setting(
        0.05, "Accepted rate at which a mask that is no better is called better", above=0, below=1
    )
    seed: int = setting_like(TrainPlan, "seed")

    def check(self) -> None:
        """Refuse a choice that does not exist."""
        super().check()
        if self.take not in TAKES and not self.take.isdecimal():
            raise RpmaskError(
                f"--take has no value '{self.take}'.",
                f"Give one of {', '.join(TAKES)}, or a candidate's number.",
            )
