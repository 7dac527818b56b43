"""Early evaluation: race the candidates of a pool on the same batches, and stop the losers early.

Candidates differ in their masks only. At each rung those still in the race are compared on the same
held-out examples. A candidate that a paired test puts clearly behind the best stops, and of the others one
in `eta`, rounded up, continues. The control always runs to the end. A rung's decisions depend on its scores
alone, so the result is the same whatever the engine, the number of workers, or the order they finish in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rpmask.engines.engine import Engine
from rpmask.errors import RunFailed
from rpmask.jsonrecord import Record
from rpmask.randomized_masks.race_files import FinishedRung, RungFiles
from rpmask.randomized_masks.race_worker import Leg, LegResult
from rpmask.randomized_masks.verdict import training_noise
from rpmask.records import RacedCandidate, Score
from rpmask.train.observer import Observer


@dataclass(frozen=True)
class RaceRules(Record):
    """When candidates are compared, and which of them continue.

    `rungs` are training steps; one in `eta`, rounded up, continues at each; a candidate more than `behind`
    standard errors behind the best stops whatever its rank.
    """

    rungs: tuple[int, ...]
    eta: float = 2.0
    behind: float = 3.0


@dataclass(frozen=True)
class RaceOutcome:
    """Every rung of every candidate, and the held-out losses at each candidate's last rung.

    The seconds are summed over workers and exclude evaluations.
    """

    candidates: tuple[RacedCandidate, ...]
    losses: dict[int, np.ndarray]
    steps_spent: int
    refit_seconds: float
    train_seconds: float


def survivors_of(k: int, eta: float) -> int:
    """How many of k candidates continue, not counting the control: one in eta, but at least one."""
    return max(1, math.ceil(k / eta))


def rung_steps(
    full_steps: int, k: int, *, rungs: int, eta: float, budget: float, twins: int = 0
) -> tuple[int, ...]:
    """Rungs that double, the last as late as the budget allows.

    `budget` is the share of k full trainings that may be spent if the paired test stops no candidate. The
    control's twins, which never stop, count against it.
    """
    marks = [2**i for i in range(max(1, rungs))]  # in units of the first rung
    cost = most_steps(k, twins, marks, eta)
    unit = min(budget * k * full_steps / cost, full_steps / marks[-1])
    return tuple(sorted({max(1, round(unit * mark)) for mark in marks}))


def most_racing(k: int, twins: int, rungs: Sequence[int], eta: float) -> list[int]:
    """How many train to each rung, twins included, if the paired test stops no candidate."""
    racing, alive = [], k
    for _ in rungs:
        racing.append(alive + twins)
        if alive > 1:
            alive = survivors_of(alive - 1, eta) + 1  # and the control
    return racing


def most_steps(k: int, twins: int, rungs: Sequence[int], eta: float) -> int:
    """Training steps of a race in which the paired test stops no candidate."""
    legs = zip(most_racing(k, twins, rungs, eta), rungs, (0, *rungs), strict=False)
    return sum(racing * (step - before) for racing, step, before in legs)


def keep_racing(
    values: Mapping[int, np.ndarray], control: int, rules: RaceRules, twins: Collection[int] = ()
) -> tuple[list[int], dict[int, str]]:
    """The candidates that continue after a rung, best first, and the reason each of the others stops.

    `values` are what held-out examples are ranked by, one array per candidate. Twins always continue.
    """
    alike = [i for i in twins if i in values]
    noise = training_noise([values[i] for i in (control, *alike)]) or 0.0
    ranking = sorted(
        (i for i in values if i not in twins), key=lambda i: (float(values[i].mean()), i)
    )
    best = ranking[0]
    stopped: dict[int, str] = {}
    for i in ranking[1:]:
        gap = values[i] - values[best]  # paired: the same examples
        sampling_error = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.inf
        error = math.hypot(sampling_error, math.sqrt(2.0) * noise)  # both sides were trained
        if i != control and float(gap.mean()) > rules.behind * error:
            stopped[i] = (
                f"{gap.mean():.4f} behind candidate {best}, "
                f"{gap.mean() / error if error else math.inf:.1f} standard errors"
            )
    rivals = [i for i in ranking if i != control]
    places = survivors_of(len(rivals), rules.eta)
    for place, i in enumerate(rivals):
        if place >= places and i not in stopped:
            stopped[i] = f"rank {place + 1} of {len(rivals)}, {places} go on"
    return [*(i for i in ranking if i not in stopped), *alike], stopped


def race(
    engine: Engine[Leg, LegResult],
    rules: RaceRules,
    names: Sequence[tuple[str, str]],
    control: int,
    files: RungFiles,
    observer: Observer,
    twins: Collection[int] = (),
) -> RaceOutcome:
    """Run the race; `names` are each candidate's (recipe id, mask digest), including the control's twins.

    A rung that is already finished on disk is not run again.
    """
    alive = list(range(len(names)))
    scores: dict[int, list[Score]] = {i: [] for i in alive}
    status = dict.fromkeys(alive, "finished")
    reasons: dict[int, str] = {}
    losses: dict[int, np.ndarray] = {}
    at_most = most_steps(len(names) - len(twins), len(twins), rules.rungs, rules.eta)
    spent = 0
    for rung, step in enumerate(rules.rungs):
        before = rules.rungs[rung - 1] if rung else 0
        reached = {i: found for i in alive if (found := files.get(i, rung)) is not None}
        spent += len(reached) * (step - before)
        todo = [i for i in alive if i not in reached]
        last = step == rules.rungs[-1]
        legs = (  # lazily, so that a state is read only when there is a worker for it
            Leg(i, rung, before, step, files.state(i, rung - 1), keep_state=not last) for i in todo
        )
        for result in engine.map(legs):
            reached[result.candidate] = files.put(result)
            spent += step - before
            observer.progress(spent, at_most, "steps")
        for i in sorted(reached):
            score = reached[i].score
            losses[i] = reached[i].losses
            observer.rung(score)
            scores[i].append(score)
            if not _finite(reached[i]):
                status[i] = "failed"
                reasons[i] = (
                    f"the loss was {score.train_loss} in training and {score.loss} held out"
                )
        alive = [i for i in alive if status[i] != "failed"]
        if control not in alive:
            raise RunFailed(
                f"The control's loss is not finite after {step} steps: {reasons[control]}.",
                "Every candidate is measured against it. Lower --race-rate.",
            )
        if not last:
            values = {i: reached[i].values for i in alive}
            alive, stopped = keep_racing(values, control, rules, twins)
            for i, why in stopped.items():
                files.drop_state(i, rung)
                status[i] = "stopped"
                reasons[i] = f"{why}, at step {step}"
    raced = tuple(
        RacedCandidate(i, recipe, digest, status[i], tuple(scores[i]), reasons.get(i, ""))
        for i, (recipe, digest) in enumerate(names)
    )
    return RaceOutcome(raced, losses, spent, *files.seconds())


def _finite(rung: FinishedRung) -> bool:
    whole = np.isfinite(rung.losses).all() and np.isfinite(rung.values).all()
    return bool(whole) and math.isfinite(rung.score.train_loss)
