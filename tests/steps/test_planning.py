"""`--plan` says what a command then does: its steps, and which of its runs have finished."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL

import rpmask
from rpmask.cli import entry
from rpmask.cli.plan_lines import line_of
from rpmask.cli.time_left import TimeLeft
from rpmask.masks.mask import Mask
from rpmask.masks.weights import block_of
from rpmask.results import JackpotResult
from rpmask.steps import timing
from rpmask.steps.context import Context, Unfinished
from rpmask.steps.planning import Part, Plan, looked_up

STEPS = ("sample", "screen", "select", "finetune")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints with --json, in a folder."""

    def asked(folder: Path, *arguments: str) -> dict[str, Any]:
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit):
            entry.main([*arguments, "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return asked


def test_the_plan_of_a_run_is_what_it_takes(
    ask: Any, road: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, ran = road
    plan = ask(tmp_path, "run", *SMALL, "--plan")
    assert not (tmp_path / "mlflow.db").exists()
    assert [(part["step"], part["level"]) for part in plan["parts"]] == [
        (step, level) for level in (1, 2) for step in STEPS
    ]
    for part in plan["parts"]:
        took = ran["levels"][part["level"] - 1][part["step"]]
        assert part["sparsity"] == took["sparsity"]
        assert part["at_most"] == (part["step"] == "screen")
        if part["step"] == "finetune":
            assert part["steps"] == took["steps"] > 0
        if part["step"] == "screen":
            stopped = [c for c in took["candidates"] if c["status"] == "stopped"]
            assert part["steps"] >= took["steps_spent"] > 0
            assert part["steps"] == took["steps_spent"] or stopped
    assert plan["steps"] == sum(part["steps"] for part in plan["parts"])
    assert min(plan["seconds"], plan["memory_bytes"], plan["stored_bytes"]) > 0
    done = ask(folder, "run", *SMALL, "--plan")
    assert (done["reused"], done["seconds"], done["steps"]) == (8, 0, 0)
    assert line_of(done) == "plan: 8 runs, all finished: nothing is left to do"
    longer = ask(folder, "run", *SMALL, "--epochs", "2", "--plan")
    runs = [ran["levels"][level][step]["run_id"] for level in (0, 1) for step in STEPS]
    assert [part["run_id"] for part in longer["parts"]] == [*runs[:-1], None]
    assert longer["steps"] == 2 * done["parts"][-1]["steps"]
    assert "8 runs, 7 of them finished; 16 training steps" in line_of(longer)


def test_plans_of_single_steps(ask: Any, road: tuple[Path, dict[str, Any]]) -> None:
    folder, ran = road
    level = ran["levels"][0]
    pool, chosen = level["sample"]["run_id"], level["select"]["run_id"]
    race = ask(folder, "screen", "--from", pool, "--twins", "0", "--full", "--plan")
    assert [part["steps"] for part in race["parts"]] == [4 * (256 // 32)]
    trained = ask(folder, "finetune", "--from", chosen, "--epochs", "3", "--plan")
    assert [part["steps"] for part in trained["parts"]] == [3 * 256 // 32]
    rows = ("--train-rows", "256", "--selection-rows", "100")
    tuned = ask(folder, "tune", *rows, "--steps", "64", "--k", "4", "--twins", "0", "--plan")
    most = tuned["parts"][1]["steps"]
    assert len(tuned["parts"]) == 2 * (64 // most)
    dense = ask(folder, "finetune", "--dense", "--epochs", "2", *rows, "--plan")
    assert [(part["level"], part["steps"]) for part in dense["parts"]] == [(0, 16)]


def test_the_plan_of_a_search_is_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    few = {"task": "demo", "train_rows": 100, "selection_rows": 40, "epochs": 2, "threads": 1}
    plan = rpmask.jackpot(**few, plan=True, quiet=True)
    found = rpmask.jackpot(**few, quiet=True)
    assert isinstance(found.record, JackpotResult)
    assert [part["steps"] for part in plan.parts] == [found.record.epochs[-1].step]
    assert "plan of jackpot" in plan._repr_html_()
    assert rpmask.jackpot(**few, plan=True, quiet=True).reused == 1


def test_no_training_is_timed_where_there_is_none(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of a large model only the first blocks are refitted, in proportion."""
    refitted: list[list[str]] = []

    def noted(model: Any, mask: Mask, *_: object) -> int:
        refitted.append(list(mask.names))
        return 0

    def trained(*_: object) -> tuple[float, float]:
        raise AssertionError("a training was timed")

    monkeypatch.setattr(timing, "refit", noted)
    monkeypatch.setattr(timing, "_step", trained)
    bare = ("run", "--one-shot", "--epochs", "0", "--k", "2", "--threads", "1")
    few = (*bare, "--train-rows", "64", "--selection-rows", "40", "--plan")
    assert ask(tmp_path, *few)["steps"] == 0
    monkeypatch.setattr(timing, "LARGE", 0)
    monkeypatch.setattr(timing, "PART", 2)
    ask(tmp_path, *few)
    whole, part = refitted
    assert {block_of(name) for name in part} < {block_of(name) for name in whole}
    assert len(part) <= len(whole) / 2


def test_a_step_that_two_walks_find_counts_once(tmp_path: Path) -> None:
    """A tuning that is looked up as a whole meets its dense training, and so do its parts."""
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    assert context.tracker

    def walk(inner: Context) -> None:
        assert inner.looking is not None
        inner.looking.append("dense")
        raise Unfinished

    assert looked_up(context, 3, walk, walk) == ["dense"]

    def finished(inner: Context) -> None:
        assert inner.looking is not None
        inner.looking += ["dense", "tune"]

    assert looked_up(context, 3, finished, walk) == ["tune"] * 3


def test_time_left_follows_the_speed_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    parts = [
        Part("sample", 1, 0.5, seconds=10, run_id="r"),
        Part("screen", 1, 0.5, seconds=10),
        Part("finetune", 1, 0.5, 100, seconds=40),
    ]
    left = TimeLeft([replaced(parts[0], 0.0), *parts[1:]])
    with left.during("run"):
        assert left.seconds == 50
        with left.during("sample"):  # reused
            pass
        with left.during("screen"):
            clock[0] = 4.0
            assert left.seconds == 6 + 40
            clock[0] = 20.0  # twice as long as planned
        assert left.seconds == 80
        with left.during("finetune"):
            left.progress(14, 16, "refit")
            clock[0] = 30.0
            assert left.seconds == 70
            left.progress(50, 100, "steps")
            assert left.seconds == 10
            assert str(left) == "about 10 s left"
    assert left.seconds == 0


def replaced(part: Part, seconds: float) -> Part:
    """A part that has finished costs nothing."""
    return Part(part.step, part.level, part.sparsity, seconds=seconds, run_id=part.run_id)


def test_a_plan_warns_of_a_full_disk() -> None:
    plan = Plan("run", (Part("finetune", 1, 0.5, 7, seconds=200),), 10**9, 10**9, 10**9, 10**9)
    assert line_of(plan.answer()) == (
        "plan: 1 run; 7 training steps, about 3 min on this machine, 1.0 GB of memory, 1.0 GB on disk and "
        "1.0 GB more while it trains; only 1.0 GB are free here"
    )
