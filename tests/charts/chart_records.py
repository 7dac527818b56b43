"""Small records to draw, and functions that read the texts and lines of a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from rpmask import charts
from rpmask.records import (
    Candidate,
    MaskRecipe,
    Pool,
    RacedCandidate,
    Score,
    ScreenReport,
    Selection,
    TensorCount,
)
from rpmask.results import FinetuneResult

BERT_MATRICES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
BERT = tuple(
    f"bert.encoder.layer.{layer}.{matrix}.weight"
    # As a sorted listing has them: layer 10 before layer 2.
    for layer in sorted(range(12), key=str)
    for matrix in BERT_MATRICES
)
STEPS = (10, 20, 30, 40)


def candidate(index: int, **recipe: object) -> Candidate:
    values: dict[str, object] = {"temperature": 0.0} if index == 0 else {}
    drawn = MaskRecipe(weights_digest="w", seed=index, sparsity=0.9375, **(values | recipe))
    counts = {name: TensorCount(kept=10 * (i + 1), total=1000) for i, name in enumerate(BERT)}
    return Candidate(
        recipe=drawn,
        mask_digest=f"{index:064x}",
        overlap_with_control=0.9,
        tensors=counts,
        control=index == 0,
    )


def pool_of(k: int) -> Pool:
    return Pool(
        task="rte",
        model="bert",
        start="start",
        teacher="teacher",
        level=4,
        sparsity=0.9375,
        seed=1,
        weights_digest="w",
        tensors=BERT,
        candidates=tuple(candidate(i) for i in range(k)),
    )


def raced(index: int, losses: Sequence[float], status: str = "finished") -> RacedCandidate:
    rungs = tuple(
        Score(candidate=index, rung=i, step=STEPS[i], loss=loss, metric=0.5, train_loss=0.5)
        for i, loss in enumerate(losses)
    )
    return RacedCandidate(index, f"recipe{index}", f"mask{index}", status, rungs)


def report_of(*candidates: RacedCandidate) -> ScreenReport:
    return ScreenReport(
        pool_run_id="pool",
        task="rte",
        level=4,
        sparsity=0.9375,
        metric_name="accuracy",
        engine="local",
        workers=1,
        threads=1,
        examples=1500,
        batch_size=16,
        steps_spent=130,
        steps_full=160,
        candidates=candidates,
    )


def selection_of(**changed: object) -> Selection:
    chosen = Selection(
        screen_run_id="screen",
        pool_run_id="pool",
        task="rte",
        level=4,
        sparsity=0.9375,
        winner=1,
        best=1,
        control=0,
        ranking=(1, 3, 0),
        verdict="better",
        effect=0.04,
        interval=(0.01, 0.07),
        confidence=0.95,
        compared=2,
        metrics={},
        mask_digest="m",
    )
    return replace(chosen, **changed)


def result(sparsity: float, accuracy: float, **changed: object) -> FinetuneResult:
    made = FinetuneResult(
        selection_run_id="s",
        task="rte",
        model="bert",
        teacher="teacher",
        level=1,
        sparsity=sparsity,
        mask_digest="m",
        dense={"accuracy": 0.8},
        dev={"accuracy": accuracy},
        majority={"accuracy": 0.5},
        primary="accuracy",
        retention=accuracy / 0.8,
        best_step=1,
        steps=1,
        nonzero=1,
    )
    return replace(made, **changed)


def words(figure: Figure) -> str:
    """Every text of the figure, after a real drawing of it."""
    figure.canvas.draw()
    return "\n".join(found.get_text() for found in figure.findobj(Text))


def line(axes: Axes, name: str) -> np.ndarray:
    found = [drawn for drawn in axes.lines if drawn.get_label() == name]
    assert len(found) == 1, f"{name!r} is drawn {len(found)} times"
    return np.asarray(found[0].get_xydata())


FULL_RACE = report_of(
    raced(0, [0.6, 0.5, 0.45, 0.42]),
    raced(1, [0.5, 0.4, 0.35, 0.31]),
    raced(2, [0.7, 0.65], "stopped"),
    raced(3, [0.55, 0.45, 0.4, 0.33]),
    raced(4, [0.9, math.nan], "failed"),
)
THREE = charts.label(candidate(3), 3)
