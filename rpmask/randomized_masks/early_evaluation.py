"""Race the candidates of a pool: same start but for their masks, same batches, same order; losers stop early.

At each rung every candidate still in the race is compared on the same held-out examples. Those that
a paired test puts clearly behind the best stop, and of the others at most one in `eta` goes on. The
control always runs to the end. What a rung decides depends on its scores alone, so the result is the
same whatever the engine, the number of workers, or the order in which they finish.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rpmask.engines.engine import Engine
from rpmask.errors import RunFailed
from rpmask.jsonrecord import Record
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_worker import Leg, LegResult
from rpmask.randomized_masks.verdict import training_noise
from rpmask.records import RacedCandidate, Score
from rpmask.train.observer import Observer


@dataclass(frozen=True)
class RaceRules(Record):
    """When candidates are compared, and what it takes to go on.

    rungs are training steps; eta is the share that goes on (one in eta); behind is how many
    standard errors behind the best a candidate must be to stop whatever its rank.
    """

    rungs: tuple[int, ...]
    eta: float = 2.0
    behind: float = 3.0


@dataclass(frozen=True)
class RaceOutcome:
    """Every rung of every candidate, and the held-out losses at each candidate's last rung.

    The seconds are all workers' together, without evaluations.
    """

    candidates: tuple[RacedCandidate, ...]
    losses: dict[int, np.ndarray]
    steps_spent: int
    refit_seconds: float
    train_seconds: float


def survivors_of(k: int, eta: float) -> int:
    """How many of k go on, the control not counted: one in eta, but at least one."""
    return max(1, math.ceil(k / eta))


def rung_steps(
    full_steps: int, k: int, *, rungs: int, eta: float, budget: float, twins: int = 0
) -> tuple[int, ...]:
    """Rungs that double, the last as late as the budget allows.

    budget is the share of k full runs that may be spent if nobody is stopped by the paired test; the
    control's twins, none of which stops, are paid from it.
    """
    if rungs < 1:
        rungs = 1
    marks = [2**i for i in range(rungs)]  # in units of the first rung
    cost, alive, before = 0, k, 0
    for mark in marks:
        cost += (alive + twins) * (mark - before)
        before = mark
        if alive > 1:
            alive = survivors_of(alive - 1, eta) + 1  # and the control
    unit = min(budget * k * full_steps / cost, full_steps / marks[-1])
    steps = sorted({max(1, round(unit * mark)) for mark in marks})
    return tuple(steps)


def keep_racing(
    values: Mapping[int, np.ndarray], control: int, rules: RaceRules, twins: Collection[int] = ()
) -> tuple[list[int], dict[int, str]]:
    """Who goes on from a rung, best first, and why each of the others does not; twins go on anyway."""
    alike = [i for i in twins if i in values]
    noise = training_noise([values[i] for i in (control, *alike)]) or 0.0
    ranking = sorted(
        (i for i in values if i not in twins), key=lambda i: (float(values[i].mean()), i)
    )
    best = ranking[0]
    stopped: dict[int, str] = {}
    for i in ranking[1:]:
        gap = values[i] - values[best]  # paired: the same examples
        rows = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.inf
        error = math.hypot(rows, math.sqrt(2.0) * noise)  # both of them were trained
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
    ledger: RungFiles,
    observer: Observer,
    twins: Collection[int] = (),
) -> RaceOutcome:
    """Run the race; names are each candidate's (recipe id, mask digest), twins the control's among them.

    A rung that the ledger already holds is not run again.
    """
    alive = list(range(len(names)))
    scores: dict[int, list[Score]] = {i: [] for i in alive}
    status = dict.fromkeys(alive, "finished")
    reasons: dict[int, str] = {}
    losses: dict[int, np.ndarray] = {}
    values: dict[int, np.ndarray] = {}
    bound = _most_steps(len(names) - len(twins), len(twins), rules)
    spent = 0
    for rung, step in enumerate(rules.rungs):
        before = rules.rungs[rung - 1] if rung else 0
        reached = {i: found for i in alive if (found := ledger.get(i, rung)) is not None}
        spent += len(reached) * (step - before)
        todo = [i for i in alive if i not in reached]
        legs = (  # one by one: a state is read when there is a worker for it
            Leg(
                i, rung, before, step, ledger.state(i, rung - 1), keep_state=step != rules.rungs[-1]
            )
            for i in todo
        )
        for result in engine.map(legs):
            reached[result.candidate] = ledger.put(result)
            spent += step - before
            observer.progress(spent, bound, "steps")
        for i in sorted(reached):
            score, losses[i], values[i] = reached[i].score, reached[i].losses, reached[i].values
            observer.rung(score)
            scores[i].append(score)
            whole = np.isfinite(losses[i]).all() and np.isfinite(values[i]).all()
            if not (whole and math.isfinite(score.train_loss)):
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
        if rung + 1 < len(rules.rungs):
            alive, stopped = keep_racing({i: values[i] for i in alive}, control, rules, twins)
            for i in stopped:
                ledger.drop_state(i, rung)
            status.update(dict.fromkeys(stopped, "stopped"))
            reasons.update({i: f"{why}, at step {step}" for i, why in stopped.items()})
    raced = tuple(
        RacedCandidate(i, recipe, digest, status[i], tuple(scores[i]), reasons.get(i, ""))
        for i, (recipe, digest) in enumerate(names)
    )
    return RaceOutcome(raced, losses, spent, *ledger.seconds())


def _most_steps(k: int, twins: int, rules: RaceRules) -> int:
    total, alive, before = 0, k, 0
    for step in rules.rungs:
        total += (alive + twins) * (step - before)
        before = step
        if alive > 1:
            alive = survivors_of(alive - 1, rules.eta) + 1
    return total
