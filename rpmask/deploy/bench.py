"""Time the runtimes of a model over a grid of batches and lengths, compared with dense fp32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from rpmask.deploy.measure import interleaved
from rpmask.deploy.roofline import Roofline
from rpmask.deploy.runtimes import DENSE_RUNTIMES, Runtimes, reason_of
from rpmask.deploy.writing import Batch
from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.train.models import positions

REPEATS = 30
UNLIMITED = 512


@dataclass(frozen=True)
class BenchRow(Record):
    """One runtime on one shape of input; speedup and max_abs_diff compare it with the first runtime.

    speedup_best compares it with the fastest runtime that gains nothing by pruning; None if none was timed.
    least_ms is the shortest time that the machine's limits allow (`roofline.py`), where they are known.
    """

    runtime: str
    batch: int
    tokens: int
    ms_median: float
    ms_p95: float
    speedup: float
    max_abs_diff: float
    memory_mb: float
    repeats: int
    speedup_best: float | None = None
    least_ms: float | None = None


def bench(
    runtimes: Runtimes,
    grid: Sequence[tuple[int, int]],
    *,
    vocabulary: int,
    names: Sequence[str],
    seconds: float,
    repeats: int = REPEATS,
    roofline: Roofline | None = None,
) -> tuple[BenchRow, ...]:
    """Time every runtime on every shape, in turns, for about `seconds` per shape.

    A runtime that fails on a shape has no row for it and is added to `runtimes.absent`. If the first one
    fails, its error is raised.
    """
    first = next(iter(runtimes.answers))
    rows: list[BenchRow] = []
    with torch.inference_mode():
        for batch, tokens in grid:
            inputs = random_batch(batch, tokens, vocabulary, names)
            calls = {name: partial(call, inputs) for name, call in runtimes.answers.items()}
            logits: dict[str, torch.Tensor] = {}
            for name, call in tuple(calls.items()):
                try:
                    logits[name] = call()
                except Exception as error:
                    if name == first:
                        raise
                    del calls[name]
                    runtimes.absent[f"{name} at {batch}x{tokens}"] = reason_of(error)
            times = interleaved(calls, repeats=repeats, seconds=seconds)
            dense = [each.median_ms for name, each in times.items() if name in DENSE_RUNTIMES]
            for name, timing in times.items():
                rows.append(
                    BenchRow(
                        runtime=name,
                        batch=batch,
                        tokens=tokens,
                        ms_median=timing.median_ms,
                        ms_p95=timing.p95_ms,
                        speedup=times[first].median_ms / timing.median_ms,
                        max_abs_diff=float((logits[name] - logits[first]).abs().max()),
                        memory_mb=runtimes.memory.get(name, 0) / 2**20,
                        repeats=timing.repeats,
                        speedup_best=min(dense) / timing.median_ms if dense else None,
                        least_ms=roofline.least_ms(name, batch * tokens) if roofline else None,
                    )
                )
    return tuple(rows)


def random_batch(batch: int, tokens: int, vocabulary: int, names: Sequence[str]) -> Batch:
    """Rows of random tokens of one length; the time a model takes does not depend on the tokens."""
    random = np.random.default_rng(0)
    inputs = {"input_ids": torch.from_numpy(random.integers(1, vocabulary, (batch, tokens)))}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    return {name: inputs[name] for name in names}


AUTO = "auto"
DEFAULT_SHAPES = ((1, 32), (1, 128), (8, 128))


def parse_grid(text: str) -> tuple[tuple[int, int], ...]:
    """Read `1x32,8x128`: batch by tokens."""
    try:
        grid = tuple(
            (int(batch), int(tokens))
            for batch, _, tokens in (cell.strip().partition("x") for cell in text.split(","))
        )
    except ValueError:
        grid = ()
    if not grid or min(min(cell) for cell in grid) < 1:
        raise RpmaskError(
            f"--grid '{text}' is not a list of shapes.", "Write BATCHxTOKENS, like 1x32,8x128."
        )
    return grid


def shapes(text: str, most: int) -> tuple[tuple[int, int], ...]:
    """The requested shapes; `auto` means one short row, one long row and eight long rows."""
    if text == AUTO:
        cells = ((batch, min(tokens, most)) for batch, tokens in DEFAULT_SHAPES)
        return tuple(dict.fromkeys(cells))
    grid = parse_grid(text)
    too_long = [tokens for _, tokens in grid if tokens > most]
    if too_long:
        raise RpmaskError(
            f"{too_long[0]} tokens are more than this model takes, {most}.",
            "Give shorter ones with --grid.",
        )
    return grid


def longest(config: Any) -> int:
    """The longest input to time, in tokens: the model's limit, or 512 if it has none."""
    return positions(config) or UNLIMITED
