"""The rows of the leaderboard: results that differ only in their seed form one row. No MLflow here."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from scipy.special import stdtrit

from rpmask.charts.run_results import BELOW, Place, Result
from rpmask.direction import retention
from rpmask.jsonrecord import Record

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LeaderboardRow(Record):
    """The results of all seeds of one method with one set of settings.

    interval is Student's t interval for the mean over seeds, empty for a single seed. better counts
    the selections whose winner beat the control. steps and seconds are means over the seeds and
    include every run the results were made from.
    """

    task: str
    model: str
    method: str
    sparsity: float
    settings: str
    metric: str
    seeds: tuple[str, ...]
    mean: float
    interval: tuple[float, ...]
    dense: float
    retention: float
    better: int | None
    steps: float
    seconds: float
    champion: bool
    runs: tuple[str, ...]
    lower_is_better: bool = False


def leaderboard_rows(
    results: Iterable[Result], champions: Set[str], *, each: bool = False
) -> list[LeaderboardRow]:
    """The rows by task and sparsity, best mean first; with `each`, one row per run."""
    groups: dict[tuple[object, ...], dict[str, Result]] = defaultdict(dict)
    for result in results:
        settings = tuple(sorted(result.settings.items()))
        group = (*result.place, result.metric, settings, result.run_id if each else "")
        # A repeated seed adds no information: the latest result counts.
        groups[group].setdefault(result.seed, result)
    found = [list(group.values()) for group in groups.values()]
    settings_by_place: dict[Place, list[Mapping[str, str]]] = defaultdict(list)
    for same in found:
        settings_by_place[same[0].place].append(same[0].settings)
    shown = {place: _distinguishing(rows) for place, rows in settings_by_place.items()}
    table = [_row(same, shown[same[0].place], champions) for same in found]

    def order(row: LeaderboardRow) -> tuple[str, float, float]:
        value = row.mean if row.lower_is_better else -row.mean
        return row.task, row.sparsity, math.inf if math.isnan(row.mean) else value

    return sorted(table, key=order)


def _distinguishing(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of the settings that tell these rows apart.

    A lower level's setting is left out where the top level differs in the same setting or where rows
    differ in their levels, unless two rows would then read the same.
    """
    names = {name for row in rows for name in row}
    differing = {name for name in names if len({row.get(name) for row in rows}) > 1}
    own = {name for name in differing if not name.startswith(BELOW)}
    if "levels" not in own:
        own |= {name for name in differing if name.removeprefix(BELOW) not in own}

    def distinct(shown: Set[str]) -> int:
        return len({tuple(row.get(name) for name in sorted(shown)) for row in rows})

    return sorted(own if distinct(own) == distinct(differing) else differing)


def _row(same: Sequence[Result], shown: Sequence[str], champions: Set[str]) -> LeaderboardRow:
    first = same[0]
    values = [result.value for result in same]
    mean = statistics.fmean(values)
    dense = statistics.fmean(result.dense for result in same)
    verdicts = [result.verdict for result in same if result.verdict]
    return LeaderboardRow(
        task=first.task,
        model=first.model,
        method=first.method,
        sparsity=first.sparsity,
        settings=" ".join(f"{name}={first.settings.get(name, '-')}" for name in shown),
        metric=first.metric,
        seeds=tuple(sorted((result.seed for result in same), key=lambda seed: (len(seed), seed))),
        mean=mean,
        interval=_interval(values, mean),
        dense=dense,
        retention=retention(mean, dense, lower=first.lower_is_better) if dense else math.nan,
        better=verdicts.count("better") if verdicts else None,
        steps=statistics.fmean(result.steps for result in same),
        seconds=statistics.fmean(result.seconds for result in same),
        champion=any(result.run_id in champions for result in same),
        runs=tuple(result.run_id for result in same),
        lower_is_better=first.lower_is_better,
    )


def _interval(values: Sequence[float], mean: float) -> tuple[float, ...]:
    """Mean -+ t s / sqrt(n)."""
    n = len(values)
    if n < 2:
        return ()
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * statistics.stdev(values) / math.sqrt(n)
    return (mean - half, mean + half)
