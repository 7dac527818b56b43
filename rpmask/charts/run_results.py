"""The results that a leaderboard compares, computed from finished runs. No MLflow here.

A result includes the runs it was made from: its pool, its race, its selection, and the same for
every lower sparsity level. Their settings tell results apart; their training steps and seconds are
added up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from rpmask.direction import LOWER

BELOW = "below."  # prefix for the settings of lower levels
# Parameters that identify inputs, machines or seeds rather than a method.
NOT_SETTINGS = frozenset(
    (
        *("task", "model", "start", "teacher", "weights", "sparsity", "level", "seed"),
        *("selection", "pool", "screen", "threads", "workers", "storage", "processes"),
    )
)
# Tags that name the run a step was made from, the closest first.
LINKS = ("selection", "screen", "pool", "like", "parent", "start")

Place = tuple[str, float, str, str]  # task, sparsity, method, model


@dataclass(frozen=True)
class RunFacts:
    """The parameters, metrics and tags of a finished run."""

    run_id: str
    step: str
    started: int  # milliseconds since 1970
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # tags that start with "rpmask.", without that prefix

    @property
    def task(self) -> str:
        return self.tags.get("task", "")

    @property
    def sparsity(self) -> float:
        return float(self.tags.get("sparsity", 0.0))


@dataclass(frozen=True)
class Result:
    """A trained or searched model, with the cost and settings of all runs it was made from."""

    run_id: str
    task: str
    model: str
    method: str
    sparsity: float
    settings: Mapping[str, str]
    seed: str
    metric: str
    value: float
    dense: float
    verdict: str
    steps: float
    seconds: float
    started: int
    lower_is_better: bool = False

    @property
    def place(self) -> Place:
        return self.task, self.sparsity, self.method, self.model


def results_of(runs: Mapping[str, RunFacts]) -> list[Result]:
    """Every finished training and search among the runs, the latest first."""
    ends = [run for run in runs.values() if run.step in ("finetune", "jackpot")]
    results = [_result(run, runs) for run in ends if "primary" in run.tags]
    return sorted(results, key=lambda result: -result.started)


def _result(run: RunFacts, runs: Mapping[str, RunFacts]) -> Result:
    lineage = list(_lineage(run, runs))
    metric = run.tags["primary"]
    select = next((step for step in lineage if step.step == "select"), None)
    seeds = dict.fromkeys(step.params["seed"] for step in lineage if "seed" in step.params)
    return Result(
        run_id=run.run_id,
        task=run.task,
        model=run.params.get("model", ""),
        method=_method(run, lineage),
        sparsity=run.sparsity,
        settings=_settings(lineage),
        seed="/".join(seeds),
        metric=metric,
        value=run.metrics.get(f"dev/{metric}", math.nan),
        dense=run.metrics.get(f"dense/{metric}", math.nan),
        verdict=select.tags.get("verdict", "") if select else "",
        steps=sum(s.metrics.get("steps", s.metrics.get("steps_spent", 0.0)) for s in lineage),
        seconds=sum(s.metrics.get("seconds", 0.0) for s in lineage),
        started=run.started,
        lower_is_better=run.tags.get("better") == LOWER,
    )


def _lineage(run: RunFacts, runs: Mapping[str, RunFacts]) -> Iterator[RunFacts]:
    """A run and the runs it was made from, newest first, up to the first one that was deleted."""
    step: RunFacts | None = run
    while step is not None:
        yield step
        linked = (runs[step.tags[link]] for link in LINKS if step.tags.get(link) in runs)
        step = _race_continued(step, runs) or next(linked, None)


def _race_continued(pool: RunFacts, runs: Mapping[str, RunFacts]) -> RunFacts | None:
    """The race that a pool continues.

    Old pools do not name it: then it is the latest race of the previous pool before this one was drawn.
    """
    if pool.tags.get("race") in runs:
        return runs[pool.tags["race"]]
    if pool.tags.get("like") not in runs:
        return None
    races = [
        run
        for run in runs.values()
        if run.step == "screen"
        and run.tags.get("pool") == pool.tags["like"]
        and run.started <= pool.started
    ]
    return max(races, key=lambda race: race.started, default=None)


def _settings(lineage: Sequence[RunFacts]) -> dict[str, str]:
    """The parameters of every step, those of lower levels with a prefix."""
    settings: dict[str, str] = {}
    levels: list[str] = []
    ids = {step.run_id for step in lineage}
    previous: str | None = None  # the pool of the previous generation at the same level
    for step in lineage:
        if previous is not None:
            # Earlier generations have the settings of the last one, so they are only counted.
            if step.run_id == previous:
                name = f"{BELOW if len(levels) > 1 else ''}generations"
                settings[name] = str(int(settings.get(name, "1")) + 1)
                previous = _previous_pool(step, ids)
            continue
        prefix = BELOW if levels else ""
        if step.step not in ("sample", "finetune", "jackpot"):
            prefix += f"{step.step}."
        for name, value in step.params.items():
            if name not in NOT_SETTINGS:
                settings.setdefault(prefix + name, value)
        if step.step == "sample":
            levels.append(f"{step.sparsity:g}")
            previous = _previous_pool(step, ids)
    tightened = bool(levels) and levels[0] != f"{lineage[0].sparsity:g}"
    if len(levels) > 1 or tightened:
        settings["levels"] = ",".join(reversed(levels))
    return settings


def _previous_pool(pool: RunFacts, ids: Set[str]) -> str | None:
    like = pool.tags.get("like")
    return like if like in ids else None


def _method(run: RunFacts, lineage: Sequence[RunFacts]) -> str:
    if run.step == "jackpot":
        return "jackpot"
    if run.sparsity == 0.0:
        return "dense"
    pool = next((step for step in lineage if step.step == "sample"), None)
    if pool is None:
        searched = any(step.step == "jackpot" for step in lineage)
        return "jackpot, trained" if searched else "trained"
    return "paper" if pool.params.get("recipe") == "paper" else "drawn"
