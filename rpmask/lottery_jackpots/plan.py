"""How a jackpot is searched: the numbers, apart from the code that needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.train.plan import one_of

OPTIMIZERS = ("sgd", "adam")
RESTRICTIONS = ("quartic", "cosine", "off")
NORM_STATISTICS = ("batch", "frozen", "reestimated")
AUGMENTATIONS = ("none", "crop", "crop-flip")


@dataclass(frozen=True)
class SearchPlan(Record):
    """How a jackpot is searched. The defaults are those of the paper's CIFAR script, for any task.

    norm_statistics: what batch norms do (`norms.py`). `batch`, as published, normalises by the batch and
    updates the running statistics; `frozen` keeps the dense model's; `reestimated` normalises by the batch
    and evaluates with a mean over training data under the epoch's mask.
    augment: how images are cropped and flipped (`cropping.py`); the paper uses `crop-flip`.
    """

    epochs: int = 30
    batch_size: int = 256
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    restriction: str = "quartic"
    norm_statistics: str = "batch"
    augment: str = "none"
    seed: int = 0
    threads: int = 1

    def check(self) -> None:
        """Refuse values that no search can run with."""
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("restriction", self.restriction, RESTRICTIONS)
        one_of("choice of norm statistics", self.norm_statistics, NORM_STATISTICS)
        one_of("augmentation", self.augment, AUGMENTATIONS)
        for what, number in (("epochs", self.epochs), ("batch size", self.batch_size)):
            if number < 1:
                raise RpmaskError(f"The search has {what} {number}.", "Give at least 1.")
        if not (self.learning_rate > 0.0 and math.isfinite(self.learning_rate)):
            raise RpmaskError(
                f"The learning rate is {self.learning_rate:g}.", "Give a number above 0, like 0.1."
            )
