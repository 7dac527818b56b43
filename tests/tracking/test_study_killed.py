"""A study whose `sample` was killed between two writes of one proposal."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from rpmask.records import SearchSpace
from rpmask.tracking.proposing import Proposal
from rpmask.tracking.study import Study


def asked(folder: Path) -> list[Proposal]:
    ledger = Study(None, folder, "one")
    return [
        ledger.ask(SearchSpace(), owner="pool", nth=nth, sampler="random", seed=1)
        for nth in range(3)
    ]


def drawn(proposals: list[Proposal]) -> list[tuple[float, float, str, float]]:
    return [(p.temperature, p.sample_ratio, p.importance, p.allocation) for p in proposals]


def test_killed_anywhere_in_a_proposal_it_proposes_the_same(tmp_path: Path) -> None:
    expected = asked(tmp_path / "undisturbed")
    lines = (tmp_path / "undisturbed" / "optuna.journal").read_bytes().splitlines(keepends=True)
    for kept in range(2, len(lines)):  # the first two make the study
        folder = tmp_path / f"killed-{kept}"
        folder.mkdir()
        (folder / "optuna.journal").write_bytes(b"".join(lines[:kept]))
        again = asked(folder)
        assert drawn(again) == drawn(expected), kept
        study = Study(None, folder, "one")
        states = [told.state.name.lower() for told in study.history()]
        assert states.count("running") == 3


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
