"""From finished runs to a leaderboard: what was done alike is one row, whatever its seed.

A result belongs to everything it came from: its pool, race and selection, and the levels below it.
Their settings tell rows apart, their steps and seconds are added up. Pure functions, no MLflow.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95
BELOW = "below."  # before the settings of lower levels
# What names a place or a seed, and not a way of doing things.
NOT_SETTINGS = frozenset(
    (
        *("task", "model", "start", "teacher", "weights", "sparsity", "level", "seed"),
        *("selection", "pool", "screen", "threads", "workers", "storage", "processes"),
    )
)


@dataclass(frozen=True)
class RunFacts:
    """A finished step: what it was given and what it measured."""

    run_id: str
    step: str
    started: int  # milliseconds since 1970
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # rpmask's own, without their prefix

    @property
    def task(self) -> str:
        return self.tags.get("task", "")

    @property
    def sparsity(self) -> float:
        return float(self.tags.get("sparsity", 0.0))


@dataclass(frozen=True)
class Result:
    """One trained or searched model and the whole road to it."""

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


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard: the results of all seeds of one way of doing things.

    interval is Student's for the mean over the seeds, empty for a single one; better counts the
    selections whose winner beat the control; steps and seconds are means of the whole road.
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


def results_of(found: Mapping[str, RunFacts]) -> list[Result]:
    """Every finished training and search with its road, the latest first."""
    ends = [facts for facts in found.values() if facts.step in ("finetune", "jackpot")]
    results = [_result(facts, found) for facts in ends if "primary" in facts.tags]
    return sorted(results, key=lambda result: -result.started)


def standings(
    results: Iterable[Result], champions: frozenset[str] | set[str], *, each: bool = False
) -> list[Standing]:
    """The rows, best mean first within a task and sparsity; with `each`, a row a run."""
    groups: dict[tuple[object, ...], dict[str, Result]] = defaultdict(dict)
    for result in results:
        kind = (result.task, result.sparsity, result.method, result.model, result.metric)
        alike = (*kind, tuple(sorted(result.settings.items())), result.run_id if each else "")
        # The same seed again is no second opinion: the latest counts.
        groups[alike].setdefault(result.seed, result)
    rows = [list(group.values()) for group in groups.values()]
    told = _telling(rows)
    table = [_standing(row, told, champions) for row in rows]
    return sorted(table, key=lambda row: (row.task, row.sparsity, -_low_if_nan(row.mean)))


def _result(facts: RunFacts, found: Mapping[str, RunFacts]) -> Result:
    road = list(_road(facts, found))
    metric = facts.tags["primary"]
    select = next((step for step in road if step.step == "select"), None)
    seeds = dict.fromkeys(step.params["seed"] for step in road if "seed" in step.params)
    value = facts.metrics.get(f"dev/{metric}", math.nan)
    dense = facts.metrics.get(f"dense/{metric}", math.nan)
    return Result(
        run_id=facts.run_id,
        task=facts.task,
        model=facts.params.get("model", ""),
        method=_method(facts, road),
        sparsity=facts.sparsity,
        settings=_settings(road),
        seed="/".join(seeds),
        metric=metric,
        value=value,
        dense=dense,
        verdict=select.tags.get("verdict", "") if select else "",
        steps=sum(s.metrics.get("steps", s.metrics.get("steps_spent", 0.0)) for s in road),
        seconds=sum(s.metrics.get("seconds", 0.0) for s in road),
        started=facts.started,
    )


def _road(facts: RunFacts, found: Mapping[str, RunFacts]) -> Iterable[RunFacts]:
    """A run and all that it came from, backwards, as far as it has not been deleted."""
    step: RunFacts | None = facts
    while step is not None:
        yield step
        earlier = _race_continued(step, found)
        if earlier is not None:
            step = earlier
            continue
        links = ("selection", "screen", "pool", "like", "parent", "start")
        step = next(
            (found[step.tags[link]] for link in links if step.tags.get(link) in found), None
        )


def _race_continued(pool: RunFacts, found: Mapping[str, RunFacts]) -> RunFacts | None:
    """The race that a pool continues; where it was not noted, the latest of that generation by then."""
    if pool.tags.get("race") in found:
        return found[pool.tags["race"]]
    like = pool.tags.get("like")
    if like not in found:
        return None
    races = [
        facts
        for facts in found.values()
        if facts.step == "screen" and facts.tags.get("pool") == like
    ]
    known = [race for race in races if race.started <= pool.started]
    return max(known, key=lambda race: race.started, default=None)


def _settings(road: list[RunFacts]) -> dict[str, str]:
    """How it was done: the parameters of every step of the road, those of lower levels marked."""
    settings: dict[str, str] = {}
    levels: list[str] = []
    ids = {step.run_id for step in road}
    like: str | None = None  # the pool of an earlier generation, whose settings are the last one's
    for step in road:
        if like is not None:
            if step.run_id == like:
                name = f"{BELOW if len(levels) > 1 else ''}generations"
                settings[name] = str(int(settings.get(name, "1")) + 1)
                like = _continued(step, ids)
            continue
        below = BELOW if levels else ""
        own = "" if step.step in ("sample", "finetune", "jackpot") else f"{step.step}."
        for name, value in step.params.items():
            if name not in NOT_SETTINGS:
                settings.setdefault(f"{below}{own}{name}", value)
        if step.step == "sample":
            levels.append(f"{step.sparsity:g}")
            like = _continued(step, ids)
    if len(levels) > 1:
        settings["levels"] = ",".join(reversed(levels))
    return settings


def _continued(pool: RunFacts, ids: set[str]) -> str | None:
    like = pool.tags.get("like")
    return like if like in ids else None


def _method(facts: RunFacts, road: list[RunFacts]) -> str:
    if facts.step == "jackpot":
        return "jackpot"
    if facts.sparsity == 0.0:
        return "dense"
    steps = {step.step for step in road}
    if "sample" not in steps:
        return "jackpot, trained" if "jackpot" in steps else "trained"
    recipe = next(s.params.get("recipe", "") for s in road if s.step == "sample")
    return "paper" if recipe == "paper" else "drawn"


def _telling(rows: list[list[Result]]) -> dict[tuple[str, float, str, str], set[str]]:
    """For each task, sparsity and method, the settings that differ between its rows."""
    values: dict[tuple[str, float, str, str], dict[str, set[str | None]]] = {}
    alike: dict[tuple[str, float, str, str], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        alike[_place(row[0])].append(row[0].settings)
    for place, settings in alike.items():
        names = {name for each in settings for name in each}
        values[place] = {name: {each.get(name) for each in settings} for name in names}
    differing = {
        place: {name for name, found in names.items() if len(found) > 1}
        for place, names in values.items()
    }
    return {place: _without_echoes(names, alike[place]) for place, names in differing.items()}


def _without_echoes(names: set[str], rows: list[Mapping[str, str]]) -> set[str]:
    """Without what lower levels have as the last one has it, or because there are more of them.

    Unless that is all that tells two rows apart.
    """
    own = {name for name in names if not name.startswith(BELOW)}
    if "levels" not in own:
        own |= {name for name in names - own if name.removeprefix(BELOW) not in own}

    def apart(shown: set[str]) -> int:
        return len({tuple(row.get(name) for name in sorted(shown)) for row in rows})

    return own if apart(own) == apart(names) else names


def _place(result: Result) -> tuple[str, float, str, str]:
    return result.task, result.sparsity, result.method, result.model


def _standing(
    row: list[Result],
    telling: Mapping[tuple[str, float, str, str], set[str]],
    champions: frozenset[str] | set[str],
) -> Standing:
    first = row[0]
    values = [result.value for result in row]
    dense = statistics.fmean(result.dense for result in row)
    mean = statistics.fmean(values)
    shown = sorted(telling[_place(first)])
    verdicts = [result.verdict for result in row if result.verdict]
    return Standing(
        task=first.task,
        model=first.model,
        method=first.method,
        sparsity=first.sparsity,
        settings=" ".join(f"{name}={first.settings.get(name, '-')}" for name in shown),
        metric=first.metric,
        seeds=tuple(sorted((result.seed for result in row), key=lambda seed: (len(seed), seed))),
        mean=mean,
        interval=_interval(values, mean),
        dense=dense,
        retention=mean / dense if dense else math.nan,
        better=verdicts.count("better") if verdicts else None,
        steps=statistics.fmean(result.steps for result in row),
        seconds=statistics.fmean(result.seconds for result in row),
        champion=any(result.run_id in champions for result in row),
        runs=tuple(result.run_id for result in row),
    )


def _interval(values: list[float], mean: float) -> tuple[float, ...]:
    """Mean -+ t s / sqrt(n)."""
    n = len(values)
    if n < 2:
        return ()
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * statistics.stdev(values) / math.sqrt(n)
    return (mean - half, mean + half)


def _low_if_nan(value: float) -> float:
    return -math.inf if math.isnan(value) else value
