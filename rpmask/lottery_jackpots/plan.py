"""How a jackpot is searched: the numbers, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.settings import SEARCH, Checked, setting, setting_like
from rpmask.train.plan import TrainPlan

OPTIMIZERS = ("sgd", "adam")
RESTRICTIONS = ("quartic", "cosine", "off")
NORM_STATISTICS = ("batch", "frozen", "reestimated")
AUGMENTATIONS = ("none", "crop", "crop-flip")


@dataclass(frozen=True)
class SearchPlan(Checked, panel=SEARCH):
    """How a jackpot is searched. The defaults are those of the paper's CIFAR script, for any task.

    norm_statistics: what batch norms do (`norms.py`). `batch`, as published, normalises by the batch and
    updates the running statistics; `frozen` keeps the dense model's; `reestimated` normalises by the batch
    and evaluates with a mean over training data under the epoch's mask.
    augment: how images are cropped and flipped (`cropping.py`); the paper uses `crop-flip`.
    """

    epochs: int = setting(30, "Epochs of the search", at_least=1)
    batch_size: int = setting(256, "Rows per step", at_least=1)
    optimizer: str = setting("sgd", "sgd, as in the paper, or adam", choices=OPTIMIZERS)
    learning_rate: float = setting(
        0.1,
        "Learning rate of the scores; with sgd it falls along a cosine, once per epoch",
        above=0,
    )
    momentum: float = setting(0.9, "Momentum of sgd")
    weight_decay: float = setting(5e-4, "Weight decay of the scores, with sgd")
    restriction: str = setting(
        "quartic",
        "Short restriction, how the share of swaps falls from epoch to epoch: quartic, cosine or off",
        choices=RESTRICTIONS,
    )
    norm_statistics: str = setting(
        "batch",
        "Batch norms: batch (the batch's statistics, running ones updated, as in the paper), frozen "
        "(the dense model's), or reestimated (on the training rows, each epoch)",
        choices=NORM_STATISTICS,
    )
    augment: str = setting(
        "none",
        "Random image changes: none, crop, or crop-flip, which must not be used on digits",
        choices=AUGMENTATIONS,
    )
    seed: int = setting_like(TrainPlan, "seed")
    threads: int = setting_like(TrainPlan, "threads")
