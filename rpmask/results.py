"""Records of trained models and of searched masks, written as JSON.

Standard library only; the records of the steps before them are in `records.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rpmask.jsonrecord import Record
from rpmask.records import DataChoice, StepRecord, TensorCount


@dataclass(frozen=True)
class FinetuneResult(StepRecord):
    """A trained model: its dev metrics and those of the dense model.

    selection and dense_selection hold the metrics of both on the selection split, which decides the champion.
    agreement is the share of rows in the first dev split that both models classify alike; agreement_majority
    is the share that the dense model's most frequent answer alone would reach. Both are None for a regression
    or without a dense model. High retention with low agreement means that different rows are right.
    tightened_from is the digest of the mask that the training or refit began with, if cuts tightened it.
    lower_is_better is about the primary metric.
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
    tightened_from: str | None = None
    data: DataChoice = field(default_factory=DataChoice)
    lower_is_better: bool = False


@dataclass(frozen=True)
class SearchEpoch(Record):
    """A jackpot search after one epoch, on the selection split. Epoch 0 is the starting mask.

    train_loss is the mean over the epoch's steps; overlap compares with the starting mask.
    """

    epoch: int
    step: int
    train_loss: float
    loss: float
    metric: float
    swaps: int
    overlap: float


@dataclass(frozen=True)
class JackpotResult(StepRecord):
    """A mask found with the weights frozen.

    dense, start_metrics and dev are the dev metrics without a mask, under the starting mask and under the
    mask that was found. model is the name that the user gave, weights where the weights are read from. The
    weights digests cover every parameter before and after the search; the statistics digests cover the
    running means and variances of batch norms. norm_statistics is `none` for a model without batch norms.
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
    statistics_digest_before: str = ""
    statistics_digest_after: str = ""
    lower_is_better: bool = False
