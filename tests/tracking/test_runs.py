"""The time of an interrupted step is the sum over all processes that worked on it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_points import KEY

from rpmask.tracking import runs
from rpmask.tracking.open_run import open_run
from rpmask.tracking.tracker import Tracker


def test_seconds_are_those_of_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(runs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "seconds", folder=tmp_path / ".rpmask")
    with open_run(tracker, KEY) as killed:
        now[0] += 90.0
        killed.metric("loss", 0.5, 1)
        now[0] += 3.0  # after the last point: lost with the process
    now[0] += 5000.0  # nobody works on it
    with suppress(KeyboardInterrupt), open_run(tracker, KEY) as stopped:
        now[0] += 20.0
        stopped.metric("loss", 0.5, 1)  # come by again
        now[0] += 4.0
        raise KeyboardInterrupt
    now[0] += 5000.0
    with open_run(tracker, KEY) as last:
        now[0] += 10.0
        found = last.finish({}, "done")
    assert last.run_id == killed.run_id == stopped.run_id
    assert found["seconds"]["total"] == 90.0 + 24.0 + 10.0
    run = tracker.client.get_run(last.run_id)
    assert run.data.metrics["seconds"] == 124.0
    with open_run(tracker, KEY, force=True) as anew:
        now[0] += 1.0
        assert anew.finish({}, "done")["seconds"]["total"] == 1.0


def test_each_store_and_experiment_has_work_folders_of_its_own(tmp_path: Path) -> None:
    """Else two would share checkpoints, and the first to end would delete the other's."""
    folder = tmp_path / ".rpmask"

    def tracker(store: str, experiment: str) -> Tracker:
        return Tracker(f"sqlite:///{tmp_path}/{store}.db", experiment, folder=folder)

    places = (("one", "a"), ("one", "b"), ("two", "a"))
    with ExitStack() as stack:
        work = [stack.enter_context(open_run(tracker(*place), KEY)).work for place in places]
        assert len(set(work)) == 3
    with open_run(tracker("one", "a"), KEY) as again:  # an interrupted step finds its own
        assert again.work == work[0]
        again.finish({}, "done")
    assert [path.exists() for path in work] == [False, True, True]
