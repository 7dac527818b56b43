"""What every step is given: where to track, how to report progress, whether to compute again."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
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
    """Where a step says what it is doing."""

    def say(self, message: str) -> None:
        """One line for the user."""

    def working(self, title: str) -> AbstractContextManager[Observer]:
        """A progress display for a stretch of work."""


class SilentConsole:
    """Says nothing: for use from Python."""

    def say(self, message: str) -> None:
        """Nothing."""

    def working(self, title: str) -> AbstractContextManager[Observer]:
        """Nothing is shown."""
        return nullcontext(Silent())


@dataclass
class Context:
    """Shared by the steps of one command."""

    tracking_uri: str | None = None
    experiment: str = "rpmask"
    force: bool = False
    parent: str | None = None
    folder: Path = field(default_factory=lambda: Path(STATE_FOLDER))
    console: Console = field(default_factory=SilentConsole)

    @cached_property
    def tracker(self) -> Tracker:
        """The tracking server, reached on first use."""
        from rpmask.tracking.tracker import Tracker

        return Tracker(self.tracking_uri, self.experiment, folder=self.folder)

    def require_store(self) -> None:
        """Refuse a tracking store that does not exist, for a verb that only reads: it must not create one."""
        from rpmask.tracking.server import require_store

        require_store(self.tracking_uri)

    def under(self, run_id: str) -> Context:
        """The same context, its runs nested under this one."""
        inner = replace(self, parent=run_id)
        inner.__dict__["tracker"] = self.tracker  # one connection for all of them
        return inner


class Tee(Observer):
    """Passes what the core says to the progress display and to the step's MLflow run."""

    def __init__(self, shown: Observer, run: StepRun, candidates: int | None = None) -> None:
        self._shown, self._run, self._candidates = shown, run, candidates

    def progress(self, done: int, total: int, what: str) -> None:
        """Only shown."""
        self._shown.progress(done, total, what)

    def metric(self, name: str, value: float, step: int) -> None:
        """Shown and logged."""
        self._shown.metric(name, value, step)
        self._run.metric(name, value, step)

    def rung(self, score: Score) -> None:
        """Shown and logged."""
        self._shown.rung(score)
        name = f"candidate-{score.candidate}"
        if self._candidates is not None and score.candidate >= self._candidates:
            # The control's twins are numbered after the candidates.
            name = f"twin-{score.candidate - self._candidates + 1}"
        self._run.metric(f"loss/{name}", score.loss, score.step)
        if score.distance is not None:
            self._run.metric(f"distance/{name}", score.distance, score.step)


@cache
def versions() -> dict[str, str]:
    """What the result was computed with."""
    found = {name: version(name) for name in LIBRARIES}
    return {"rpmask": code_version(), "python": platform.python_version(), **found}


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
