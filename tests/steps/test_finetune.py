"""Who is champion after a training that was interrupted, and of two that end at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy import TOY_TASK

from rpmask.records import DataChoice
from rpmask.results import FinetuneResult
from rpmask.steps.finetune import ANSWERS, _finish, _register
from rpmask.steps.promotion import SELECTION
from rpmask.steps.requests import FinetuneRequest
from rpmask.steps.resolve import MASK_FILE, Resolved
from rpmask.tracking import register_model as registering
from rpmask.tracking import registry
from rpmask.tracking.open_run import open_run
from rpmask.tracking.step import Step
from rpmask.tracking.tracker import Tracker

KEY = Step(
    name="finetune",
    title="one",
    task="toy",
    level=1,
    sparsity=0.9,
    inputs={},
    decides={},
    params={},
    key="0" * 64,
)
RESULT = FinetuneResult(
    selection_run_id="chosen",
    task="toy",
    model="tiny",
    teacher="tiny",
    level=1,
    sparsity=0.9,
    mask_digest="0" * 64,
    dense={"accuracy": 0.9},
    dev={"accuracy": 0.8},
    majority={"accuracy": 0.5},
    primary="accuracy",
    selection={"accuracy": 0.8},
    dense_selection={"accuracy": 0.9},
    retention=0.8 / 0.9,
    best_step=1,
    steps=1,
    nonzero=1,
)


@pytest.mark.parametrize(("mine", "promoted"), [(True, True), (False, False)])
def test_a_champion_of_this_run_was_promoted_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: bool, promoted: bool
) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "again", folder=tmp_path / ".rpmask")
    found = Resolved("toy", "tiny", "tiny", 1, 0.9, DataChoice(), mask_digest="0" * 64)
    given: dict[str, Any] = {}

    def register(*arguments: Any, **named: Any) -> dict[str, Any]:
        given.update(named)
        return {"name": "rpmask-toy", "version": 1, "alias": None}

    monkeypatch.setattr(registering, "register", register)
    with open_run(tracker, KEY) as run:
        reigning = {"rpmask.run": run.run_id if mine else "other"}
        reigning |= {"rpmask.sparsity": "0.9", SELECTION: "0.8"}
        monkeypatch.setattr(registry, "champion", lambda tracker, task: reigning)
        for name in (ANSWERS, MASK_FILE):
            (run.work / name).write_bytes(b"")
        prepared: Any = SimpleNamespace(
            tokenizer=None, spec=TOY_TASK, encoder=SimpleNamespace(max_length=16)
        )
        trained: Any = SimpleNamespace(seconds=1.0)
        model: Any = None
        result = replace(RESULT, run_id=run.run_id)
        done = _finish(FinetuneRequest(), run, found, prepared, result, trained, model, ())
    assert done.result["promoted"] is promoted
    assert given["aliases"] == (("champion",) if promoted else ())


def test_of_two_trainings_that_end_at_once_the_second_sees_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Resolved("toy", "tiny", "tiny", 1, 0.9, DataChoice(), mask_digest="0" * 64)
    prepared: Any = SimpleNamespace(
        tokenizer=None, spec=TOY_TASK, encoder=SimpleNamespace(max_length=16)
    )
    reigning: dict[str, str] = {}
    events: list[str] = []

    def champion(tracker: Any, task: str) -> Mapping[str, str] | None:
        events.append("looked")
        return dict(reigning) or None

    def register(*arguments: Any, **named: Any) -> dict[str, Any]:
        time.sleep(0.3)  # a model takes longer to log, and the other one is there meanwhile
        if named["aliases"]:
            reigning.update(named["tags"])
        events.append("registered")
        return {}

    monkeypatch.setattr(registry, "champion", champion)
    monkeypatch.setattr(registering, "register", register)

    def ended(metric: float) -> bool:
        run: Any = SimpleNamespace(
            run_id=str(metric), tracker=SimpleNamespace(uri=f"sqlite:///{tmp_path}/mlflow.db")
        )
        result = replace(RESULT, run_id=str(metric), selection={"accuracy": metric})
        model: Any = None
        return _register(FinetuneRequest(), run, found, prepared, result, model)[1]

    with ThreadPoolExecutor(2) as pool:
        _, better = pool.map(ended, (0.7, 0.8))
    assert events == ["looked", "registered"] * 2
    assert better
    assert reigning[SELECTION] == "0.8"
