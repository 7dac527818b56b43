"""The context of a step: where it is tracked, how it reports progress, whether it is forced to run again."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rpmask.records import Score
from rpmask.steps.decides import code_version
from rpmask.train.observer import Observer, Silent

if TYPE_CHECKING:
    from rpmask.tracking.runs import StepRun
    from rpmask.tracking.tracker import Tracker

LIBRARIES = ("torch", "transformers", "mlflow", "optuna", "datasets", "numpy")
STATE_FOLDER = ".rpmask"


class Console(Protocol):
    """Where a step reports what it does."""

    def say(self, message: str) -> None:
        """Show a line to the user."""

    def working(self, title: str) -> AbstractContextManager[Observer]:
        """Open a progress display."""


class Schedule(Protocol):
    """Hears when the steps of a command begin and end."""

    def during(self, step: str) -> AbstractContextManager[None]:
        """A step is carried out inside the block, or its finished run is reused."""


class Unfinished(Exception):
    """A step that has not finished yet was looked up."""


class SilentConsole:
    """A console that shows nothing: the default for use from Python."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def working(self, title: str) -> AbstractContextManager[Observer]:
        """Do nothing."""
        return nullcontext(Silent())


@dataclass
class Context:
    """What the steps of one command share."""

    tracking_uri: str | None = None
    experiment: str = "rpmask"
    force: bool = False
    parent: str | None = None
    # The verb that was asked for, and the run file that says how; it is kept with the verb's own run.
    run_file: tuple[str, Callable[[], str]] | None = None
    looking: list[str] | None = None  # steps are looked up and none is begun; the finished runs
    schedule: Schedule | None = None  # hears of every step, to tell the time left
    system_metrics: bool = False  # logged to the run of every step
    folder: Path = field(default_factory=lambda: Path(STATE_FOLDER))
    console: Console = field(default_factory=SilentConsole)

    @cached_property
    def tracker(self) -> Tracker:
        """The tracking server, connected on first use."""
        from rpmask.tracking.tracker import Tracker

        return Tracker(self.tracking_uri, self.experiment, folder=self.folder)

    def latest(self, step: str, task: str) -> str:
        """The latest finished run of a step for a task; no store is made to look for it."""
        from rpmask.tracking.server import DEFAULT_URI, chosen_uri, store_exists
        from rpmask.tracking.tracker import none_finished

        if not store_exists(self.tracking_uri):
            if chosen_uri(self.tracking_uri) != DEFAULT_URI:
                self.require_store()  # refused by its address, which may be mistyped
            raise none_finished(step, task, self.experiment)
        return self.tracker.latest(step, task)

    def require_store(self) -> None:
        """Refuse a tracking store that does not exist, for a verb that needs what is in it."""
        from rpmask.tracking.server import require_store

        require_store(self.tracking_uri)

    def under(self, run_id: str) -> Context:
        """Return a copy of the context whose runs are nested under this run."""
        inner = replace(self, parent=run_id)
        inner.__dict__["tracker"] = self.tracker  # they share one connection
        return inner


class Tee(Observer):
    """An observer that forwards to the progress display and to the step's MLflow run."""

    def __init__(self, shown: Observer, run: StepRun, candidates: int | None = None) -> None:
        self._shown, self._run, self._candidates = shown, run, candidates

    def progress(self, done: int, total: int, what: str) -> None:
        """Forward to the display only."""
        self._shown.progress(done, total, what)

    def metric(self, name: str, value: float, step: int) -> None:
        """Forward to both."""
        self._shown.metric(name, value, step)
        self._run.metric(name, value, step)

    def rung(self, score: Score) -> None:
        """Forward to both."""
        self._shown.rung(score)
        name = f"candidate-{score.candidate}"
        if self._candidates is not None and score.candidate >= self._candidates:
            # The control's twins are numbered after the candidates.
            name = f"twin-{score.candidate - self._candidates + 1}"
        self._run.metric(f"loss/{name}", score.loss, score.step)
        if score.distance is not None:
            self._run.metric(f"distance/{name}", score.distance, score.step)


def versions(step: str | None = None) -> dict[str, str]:
    """Return the versions that a step's result was computed with; rpmask's includes its code."""
    found = {name: version(name) for name in LIBRARIES}
    return {"rpmask": code_version(step), "python": platform.python_version(), **found}


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
