"""The race's rules on losses made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rpmask.errors import RpmaskError, RunFailed
from rpmask.randomized_masks.early_evaluation import RaceRules, keep_racing, race, rung_steps
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_score import Evaluation
from rpmask.randomized_masks.race_worker import Leg, LegResult
from rpmask.randomized_masks.verdict import paired_interval
from rpmask.train.observer import Silent


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


class Scripted:
    """An engine whose candidates have fixed losses; remembers what it was asked to run."""

    name, workers = "scripted", 1

    def __init__(self, means: Sequence[float], backwards: bool = False) -> None:
        self.means, self.backwards, self.legs = means, backwards, list[tuple[int, int]]()

    def map(self, items: Iterable[Leg]) -> Iterator[LegResult]:
        for leg in reversed(list(items)) if self.backwards else items:
            self.legs.append((leg.candidate, leg.to_step))
            noise = rng(leg.to_step).normal(0, 0.05, 200)
            losses = self.means[leg.candidate] + noise + rng(leg.candidate).normal(0, 0.01, 200)
            state = b"state" if leg.keep_state else None
            seconds = 1.0 if leg.from_step == 0 else 0.0, 2.0
            score = Evaluation(losses, 0.5)
            yield LegResult(leg.candidate, leg.rung, leg.to_step, score, 0.7, state, *seconds)

    def close(self) -> None:
        pass


def names(k: int) -> list[tuple[str, str]]:
    return [(f"recipe-{i}", f"mask-{i}") for i in range(k)]


RULES = RaceRules(rungs=(4, 8, 16))


class Distilled(Scripted):
    """Ranked by distances, in another order than the losses are in."""

    def __init__(self, means: Sequence[float], distances: Sequence[float]) -> None:
        super().__init__(means)
        self.distances = distances

    def map(self, items: Iterable[Leg]) -> Iterator[LegResult]:
        for result in super().map(items):
            distances = result.score.losses - 1.0 + self.distances[result.candidate]
            yield replace(result, score=replace(result.score, distances=distances))


def test_a_distilled_race_ranks_by_distance_and_keeps_the_losses(tmp_path: Path) -> None:
    engine = Distilled([0.6, 0.6, 0.6, 0.6], [0.4, 0.1, 0.3, 0.35])
    outcome = race(engine, RULES, names(4), 0, RungFiles(tmp_path), Silent())
    ends = {raced.index: raced.status for raced in outcome.candidates}
    assert ends == {0: "finished", 1: "finished", 2: "stopped", 3: "stopped"}
    last = outcome.candidates[1].rungs[-1]
    assert last.value == last.distance != last.loss
    assert outcome.losses[1].mean() == pytest.approx(last.loss)
    again = race(Distilled([], []), RULES, names(4), 0, RungFiles(tmp_path), Silent())
    assert again.candidates == outcome.candidates  # all of it from the rung files


def test_rungs_double_and_fit_the_budget() -> None:
    steps = rung_steps(160, 8, rungs=4, eta=2.0, budget=0.25)
    assert len(steps) == 4
    assert steps[-1] <= 160
    alive, before, spent = [8, 5, 3, 2], 0, 0
    for count, step in zip(alive, steps, strict=True):
        spent += count * (step - before)
        before = step
    assert spent <= 0.26 * 8 * 160


def test_rungs_never_pass_the_full_schedule() -> None:
    assert rung_steps(10, 1, rungs=3, eta=2.0, budget=5.0)[-1] == 10
    assert rung_steps(1, 4, rungs=4, eta=2.0, budget=0.25) == (1,)


def test_clear_losers_stop_whatever_their_rank() -> None:
    losses = {0: np.zeros(100), 1: rng(1).normal(1.0, 0.1, 100), 2: rng(2).normal(0.0, 0.1, 100)}
    alive, stopped = keep_racing(losses, control=0, rules=RaceRules(rungs=(1,), eta=1.0))
    assert sorted(alive) == [0, 2]
    assert "behind candidate" in stopped[1]


def test_the_control_goes_on_however_bad(tmp_path: Path) -> None:
    outcome = race(
        Scripted([2.0, 0.5, 0.51, 0.9]), RULES, names(4), 0, RungFiles(tmp_path), Silent()
    )
    assert [c.status for c in outcome.candidates] == ["finished", "finished", "stopped", "stopped"]
    assert len(outcome.candidates[0].rungs) == 3


def test_order_of_finishing_changes_nothing(tmp_path: Path) -> None:
    means = [0.6, 0.5, 0.55, 0.52, 0.7]
    one = race(Scripted(means), RULES, names(5), 0, RungFiles(tmp_path / "a"), Silent())
    two = race(Scripted(means, True), RULES, names(5), 0, RungFiles(tmp_path / "b"), Silent())
    assert one.candidates == two.candidates
    assert one.steps_spent == two.steps_spent


def test_a_finished_rung_is_not_run_again(tmp_path: Path) -> None:
    means = [0.6, 0.5, 0.55]
    first = Scripted(means)
    whole = race(first, RULES, names(3), 0, RungFiles(tmp_path), Silent())
    second = Scripted(means)
    again = race(second, RULES, names(3), 0, RungFiles(tmp_path), Silent())
    assert second.legs == []
    assert again.candidates == whole.candidates
    assert again.steps_spent == whole.steps_spent
    assert whole.refit_seconds == 3.0
    assert whole.train_seconds == 2.0 * len(first.legs)
    assert (again.refit_seconds, again.train_seconds) == (3.0, whole.train_seconds)


def test_only_candidates_that_go_on_keep_their_state(tmp_path: Path) -> None:
    class Stops(Scripted):
        def map(self, items: Iterable[Leg]) -> Iterator[LegResult]:
            for result in super().map(items):
                if result.rung == 1:
                    raise KeyboardInterrupt
                yield result

    with pytest.raises(KeyboardInterrupt):
        race(Stops([0.6, 0.5, 0.9, 0.8]), RULES, names(4), 0, RungFiles(tmp_path), Silent())
    kept = sorted(path.name for path in tmp_path.glob("*.state"))
    assert kept == ["candidate-0-rung-0.state", "candidate-1-rung-0.state"]
    again = race(Scripted([0.6, 0.5, 0.9, 0.8]), RULES, names(4), 0, RungFiles(tmp_path), Silent())
    assert [c.status for c in again.candidates] == ["finished", "finished", "stopped", "stopped"]


def test_a_state_that_the_engine_keeps_is_handed_on_and_not_written(tmp_path: Path) -> None:
    """When the process ends, it is lost with it, and legs begin without a state."""

    class Keeps(Scripted):
        def __init__(self, stop_at: int | None = None) -> None:
            super().__init__([0.6, 0.5, 0.55])
            self.stop_at, self.given = stop_at, list[tuple[int, int, object]]()

        def map(self, items: Iterable[Leg]) -> Iterator[LegResult]:
            for leg in items:
                self.given.append((leg.candidate, leg.rung, leg.state))
                (result,) = super().map([leg])
                if result.rung == self.stop_at:
                    raise KeyboardInterrupt
                yield replace(result, state=("there", leg.candidate, leg.rung))

    whole = race(Keeps(), RULES, names(3), 0, RungFiles(tmp_path / "whole"), Silent())
    first, again = Keeps(stop_at=2), Keeps()
    with pytest.raises(KeyboardInterrupt):
        race(first, RULES, names(3), 0, RungFiles(tmp_path), Silent())
    assert not list(tmp_path.glob("*.state"))
    assert all(
        state == (("there", candidate, rung - 1) if rung else None)
        for candidate, rung, state in first.given
    )
    found = race(again, RULES, names(3), 0, RungFiles(tmp_path), Silent())
    assert [state for _, _, state in again.given] == [None] * len(again.given) != []
    assert found.candidates == whole.candidates


def test_a_broken_candidate_fails_with_its_reason(tmp_path: Path) -> None:
    means = [0.6, float("nan"), 0.55]
    outcome = race(Scripted(means), RULES, names(3), 0, RungFiles(tmp_path), Silent())
    assert outcome.candidates[1].status == "failed"
    assert "nan" in outcome.candidates[1].reason
    assert len(outcome.candidates[1].rungs) == 1


def test_a_broken_control_fails_the_race(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="control"):
        race(Scripted([float("inf"), 0.5]), RULES, names(2), 0, RungFiles(tmp_path), Silent())


def test_paired_interval_sees_a_small_shared_difference() -> None:
    base = rng(0).normal(0.5, 1.0, 400)  # unpaired noise far larger than the effect
    better = base - 0.02 + rng(1).normal(0, 0.05, 400)
    found = paired_interval(base, better, compared=7)
    assert found.verdict == "better"
    assert found.low < 0.02 < found.high
    assert paired_interval(better, base).verdict == "worse"


def test_interval_widens_with_the_number_compared() -> None:
    base, rival = rng(0).normal(0.5, 1, 300), rng(1).normal(0.5, 1, 300)
    one, eight = paired_interval(base, rival), paired_interval(base, rival, compared=8)
    assert eight.high - eight.low > one.high - one.low
    assert eight.verdict == "no-evidence"


def test_twins_run_to_the_end_and_take_no_place(tmp_path: Path) -> None:
    means = [0.6, 0.5, 0.55, 0.7, 0.40, 0.61]  # a twin ends lowest: it is no candidate all the same
    outcome = race(
        Scripted(means), RULES, names(6), 0, RungFiles(tmp_path), Silent(), twins=range(4, 6)
    )
    ends = [raced.status for raced in outcome.candidates]
    assert ends == ["finished", "finished", "stopped", "stopped", "finished", "finished"]
    assert "candidate 4" not in "".join(raced.reason for raced in outcome.candidates)
    for twin in outcome.candidates[4:]:
        assert [rung.step for rung in twin.rungs] == list(RULES.rungs)
    assert outcome.steps_spent == sum(raced.rungs[-1].step for raced in outcome.candidates)


def test_nobody_is_behind_by_less_than_the_noise_of_training() -> None:
    values = {0: np.zeros(100), 1: np.full(100, 0.2) + rng(1).normal(0, 0.1, 100)}
    rules = RaceRules(rungs=(1,), eta=1.0)
    _, stopped = keep_racing(values, control=0, rules=rules)
    assert 1 in stopped
    twins = {2: np.full(100, 0.3), 3: np.full(100, -0.3)}
    alive, stopped = keep_racing({**values, **twins}, control=0, rules=rules, twins=(2, 3))
    assert stopped == {}
    assert sorted(alive) == [0, 1, 2, 3]


def test_twins_are_paid_from_the_budget() -> None:
    plain = rung_steps(1000, 8, rungs=3, eta=2.0, budget=0.25)
    shared = rung_steps(1000, 8, rungs=3, eta=2.0, budget=0.25, twins=3)
    spent = sum(
        (alive + 3) * (step - before)
        for alive, step, before in zip((8, 5, 3), shared, (0, *shared), strict=False)
    )
    assert shared[-1] < plain[-1]
    assert spent <= 0.26 * 8 * 1000


def test_a_twin_that_breaks_is_no_twin_any_more(tmp_path: Path) -> None:
    means = [0.6, 0.5, float("nan"), 0.61]
    outcome = race(Scripted(means), RULES, names(4), 0, RungFiles(tmp_path), Silent(), twins=(2, 3))
    assert [c.status for c in outcome.candidates] == ["finished", "finished", "failed", "finished"]


@pytest.mark.parametrize("distilled", [False, True])
def test_a_rung_whose_losses_were_changed_is_refused(distilled: bool, tmp_path: Path) -> None:
    """By their digest; what a distilled race ranks by, by its mean."""
    engine = Distilled([0.5, 0.6], [0.2, 0.1]) if distilled else Scripted([0.5, 0.6])
    race(engine, RULES, names(2), 0, RungFiles(tmp_path), Silent())
    path = tmp_path / "candidate-1-rung-0.npy"
    kept = np.load(path)
    kept[-1, 3] += 1e-6
    np.save(path, kept)
    with pytest.raises(RpmaskError, match=r"candidate-1-rung-0.* not the ones") as raised:
        race(engine, RULES, names(2), 0, RungFiles(tmp_path), Silent())
    assert "--force" in raised.value.hint
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RpmaskError, match=r"candidate-1-rung-0.* not the ones"):
        RungFiles(tmp_path).get(1, 0)
