"""Workers that die or run out of memory, and losses that are no numbers."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rpmask.cli.environment_errors import as_user_error
from rpmask.engines.local import Processes
from rpmask.errors import RunFailed
from rpmask.randomized_masks.early_evaluation import RaceOutcome, RaceRules, race
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_score import Evaluation
from rpmask.randomized_masks.race_worker import Leg, LegResult
from rpmask.train.observer import Silent

RULES = RaceRules(rungs=(1, 2))
NAMES = [(f"recipe-{i}", f"mask-{i}") for i in range(4)]


@dataclass(frozen=True)
class Fault:
    """What happens to candidate 2 at its first leg; `once` is a file that remembers that it did."""

    kind: str
    once: str


def worker(fault: Fault) -> Callable[[Leg], LegResult]:
    """A stand-in for a race worker: losses that depend on the candidate and the rung alone."""

    def run(leg: Leg) -> LegResult:
        loss = 1.0 + 0.1 * leg.candidate - 0.01 * leg.rung
        dies = fault.kind == "always" or (fault.kind == "killed" and not Path(fault.once).exists())
        if leg.candidate == 2 and dies:
            Path(fault.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if leg.candidate == 2 and fault.kind == "memory":
            used = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
            np.ones(1 << 30)
        if leg.candidate == 2 and fault.kind in ("nan", "inf"):
            loss = float(fault.kind)
        losses = np.linspace(0.9, 1.1, 20) * loss
        score = Evaluation(losses, 0.5)
        return LegResult(leg.candidate, leg.rung, leg.to_step, score, loss, b"")

    return run


def raced(kind: str, folder: Path) -> RaceOutcome:
    engine = Processes(partial(worker, Fault(kind, str(folder / "once"))), 2)
    try:
        return race(engine, RULES, NAMES, 0, RungFiles(folder / f"rungs-{kind}"), Silent())
    finally:
        engine.close()


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    expected, found = raced("none", tmp_path), raced("killed", tmp_path)
    assert (tmp_path / "once").exists()
    assert found.candidates == expected.candidates
    assert found.steps_spent == expected.steps_spent


def test_workers_that_always_die_end_the_race_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="workers died of the same candidate"):
        raced("always", tmp_path)
    # What the others found out is kept, so that the same command again need not repeat it.
    assert list((tmp_path / "rungs-always").glob("candidate-0-rung-0.json"))


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_one_candidate_fails_and_the_others_go_on(kind: str, tmp_path: Path) -> None:
    found = raced(kind, tmp_path)
    assert found.candidates[2].status == "failed"
    assert found.candidates[2].reason
    assert found.candidates[0].status == "finished"
    assert all(found.candidates[i].rungs for i in (1, 3))


def test_out_of_memory_is_a_sentence_and_the_race_continues(tmp_path: Path) -> None:
    with pytest.raises(MemoryError) as caught:
        raced("memory", tmp_path)
    said = as_user_error(caught.value)
    assert said is not None
    assert said.exit_code == 1
    assert "memory" in said.message
    (tmp_path / "rungs-memory").rename(tmp_path / "rungs-none")
    found = raced("none", tmp_path)
    assert {raced.status for raced in found.candidates} <= {"finished", "stopped"}
