"""A store full of finished roads, written through the Tracker as the steps write theirs."""

from __future__ import annotations

import time
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag

from rpmask.tracking.tracker import Tracker

SETTINGS = (
    (0.83, "default", 8),
    (0.9375, "default", 8),
    (0.9375, "paper", 8),
    (0.97, "default", 4),
)
TASKS = ("rte", "sst2", "mrpc", "cola")
CANDIDATES = 4


def dev_metric(task: int, setting: int, seed: int) -> float:
    """What the road of a task, a setting and a seed reached."""
    return 0.9 - 0.02 * task - 0.03 * setting + 0.001 * (seed - 1.5)


def fill(tracker: Tracker, *, tasks: tuple[str, ...] = TASKS, seeds: int = 4) -> int:
    """One road a task, setting and seed: sample, screen with children, select, finetune."""
    roads = 0
    for t, task in enumerate(tasks):
        for s, (sparsity, recipe, k) in enumerate(SETTINGS):
            for seed in range(seeds):
                _road(tracker, task, sparsity, recipe, k, seed, dev_metric(t, s, seed))
                roads += 1
    return roads


def _road(
    tracker: Tracker, task: str, sparsity: float, recipe: str, k: int, seed: int, dev: float
) -> None:
    place = {"task": task, "level": "1", "sparsity": f"{sparsity:g}"}
    model = {"model": f"bert-{task}", "seed": str(seed)}
    pool = _run(
        tracker, "sample", place, {**model, "recipe": recipe, "k": str(k)}, {}, {"seconds": 10.0}
    )
    race = _run(
        tracker,
        "screen",
        place,
        {**model, "pool": pool, "budget": "0.25"},
        {"pool": pool},
        {"steps_spent": 200.0, "seconds": 30.0},
    )
    for index in range(CANDIDATES):
        tags = {"candidate": str(index)}
        _run(tracker, "candidate", place, {"temperature": "0.2"}, tags, {"loss": 0.5}, parent=race)
    verdict = {"verdict": "better" if seed else "no-evidence"}
    links = {"screen": race, "pool": pool, **verdict}
    chosen = _run(tracker, "select", place, {**model, "take": "evidence"}, links, {"seconds": 5.0})
    _run(
        tracker,
        "finetune",
        place,
        {**model, "epochs": "6.0", "selection": chosen},
        {"selection": chosen, "primary": "accuracy"},
        {"dev/accuracy": dev, "dense/accuracy": 0.95, "steps": 1000.0, "seconds": 75.0},
    )


def _run(
    tracker: Tracker,
    step: str,
    place: dict[str, str],
    params: dict[str, str],
    tags: dict[str, str],
    metrics: dict[str, float],
    parent: str | None = None,
) -> str:
    run = tracker.client.create_run(tracker.experiment_id, run_name=f"{step} {place['task']}")
    now = int(time.time() * 1000)
    labels = [RunTag(f"rpmask.{k}", v) for k, v in {"step": step, **place, **tags}.items()]
    if parent is not None:
        labels.append(RunTag("mlflow.parentRunId", parent))
    tracker.client.log_batch(
        run.info.run_id,
        params=[Param(k, v) for k, v in params.items()],
        metrics=[Metric(k, v, now, 0) for k, v in metrics.items()],
        tags=labels,
    )
    tracker.client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def fill_folder(folder: Path, *, seeds: int = 4) -> int:
    """The same in a fresh SQLite store of a folder."""
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", "rpmask", folder=folder / ".rpmask")
    return fill(tracker, seeds=seeds)
