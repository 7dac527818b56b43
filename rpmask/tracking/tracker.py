"""The tracking server and one of its experiments: find runs, and what they are."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from rpmask.errors import RpmaskError
from rpmask.tracking.absence import is_absent
from rpmask.tracking.artifacts import ArtifactStore
from rpmask.tracking.filters import tag_clause
from rpmask.tracking.server import connect, identity
from rpmask.tracking.signals import Client, signals_deferred

KIND = "mlflow.experimentKind"
NOTE = "mlflow.note.content"  # the tag of the description that the UI shows
ABOUT = (
    "Masks that **rpmask** drew, raced, chose and trained. A `run` holds the steps of its levels, a `screen` "
    "its candidates. The description of every run says what was done and what to do next; its charts are "
    "artifacts, in `charts`."
)
DEAD = ("FAILED", "KILLED")


class Tracker:
    """One tracking server and one experiment, which is created with its first run.

    attached_run is the run that `mlflow run` created for the first step of a project, until that step takes
    it.
    """

    def __init__(self, uri: str | None, experiment: str, *, folder: Path) -> None:
        self.uri = connect(uri)
        self.client = Client()
        self.folder = folder
        self.attached_run = os.environ.get("MLFLOW_RUN_ID")
        self.experiment, self._chosen = experiment, ""
        if self.attached_run:  # `mlflow run` chose the experiment
            self._chosen = self.client.get_run(self.attached_run).info.experiment_id
            self.experiment = self.client.get_experiment(self._chosen).name
        self.artifacts = ArtifactStore(self.client, folder / "cache")

    @cached_property
    def experiment_id(self) -> str:
        """The id of the experiment, which is created if it does not exist."""
        if self._chosen:
            return self._chosen
        try:
            with signals_deferred(self.uri):
                if self.client.get_experiment_by_name(self.experiment) is None:
                    self._create()
                found = mlflow.set_experiment(self.experiment)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise RpmaskError(
                f"MLflow refuses the experiment '{self.experiment[:60]}': {error.message}",
                "Give another --experiment.",
            ) from error
        return str(found.experiment_id)

    def _create(self) -> None:
        """Create the experiment with its tags in one call, since another process may do the same.

        The tags are for the UI: the description, and that the experiment is one of model training.
        """
        tags = {KIND: "custom_model_development", NOTE: ABOUT}
        try:
            self.client.create_experiment(self.experiment, tags=tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    @property
    def place(self) -> str:
        """The store and the experiment; names of locks and work folders contain it."""
        return f"{identity(self.uri)}|{self.experiment_id}"

    @property
    def is_new(self) -> bool:
        """Whether the experiment does not exist; asking does not create it."""
        created = "experiment_id" in self.__dict__  # by this process
        return not created and self.client.get_experiment_by_name(self.experiment) is None

    def find(self, **tags: str) -> list[Run]:
        """Runs of this experiment with these rpmask tags, latest first."""
        if self.is_new:
            return []
        found = self.client.search_runs(
            [self.experiment_id],
            " and ".join(tag_clause(name, value) for name, value in tags.items()),
            order_by=["attributes.start_time DESC"],
            max_results=200,
        )
        wanted = {f"rpmask.{name}": value for name, value in tags.items()}
        return [run for run in found if wanted.items() <= run.data.tags.items()]

    def latest(self, step: str, task: str) -> str:
        """The latest finished run of a step for a task."""
        for run in self.find(step=step, task=task):
            if is_result(run):
                return str(run.info.run_id)
        raise none_finished(step, task, self.experiment)

    def step_of(self, run_id: str, step: str) -> str:
        """The run's id, if it is a finished run of this step."""
        found = self.step_name(run_id)
        if found != step:
            raise RpmaskError(
                f"Run '{run_id}' is a `{found}`, not a `{step}`.", f"Give the id of a `{step}` run."
            )
        return run_id

    def step_name(self, run_id: str) -> str:
        """The step of a finished run."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if not is_absent(error):
                raise
            raise RpmaskError(
                f"There is no run '{run_id}' at {self.uri}.",
                "Every verb prints the id of the run it makes; the MLflow UI shows it too.",
            ) from error
        if run.info.status != "FINISHED":
            raise RpmaskError(
                f"Run '{run_id}' is {run.info.status.lower()}, not finished.",
                "Give the command that started it again; it continues.",
            )
        return str(run.data.tags.get("rpmask.step", "no rpmask run"))

    def task_of(self, run_id: str) -> str:
        """The task of a finished run."""
        self.step_name(run_id)
        return self.tag_of(run_id, "task") or ""

    def tag_of(self, run_id: str, name: str) -> str | None:
        """An rpmask tag of a run."""
        found: str | None = self.client.get_run(run_id).data.tags.get(f"rpmask.{name}")
        return found

    def lineage(self, pool_run_id: str) -> list[str]:
        """A pool's run and those of the pools that it continues, latest first."""
        runs = [pool_run_id]
        while (before := self.tag_of(runs[-1], "like")) is not None:
            runs.append(before)
        return runs

    def lost(self, pool_run_id: str) -> bool:
        """Whether the pool's own run, or every screening of it, failed or was killed."""
        if self.client.get_run(pool_run_id).info.status in DEAD:
            return True
        screens = self.find(step="screen", pool=pool_run_id)
        return bool(screens) and all(run.info.status in DEAD for run in screens)

    @contextmanager
    def unattached(self) -> Iterator[None]:
        """Give steps inside the block runs of their own, even where `mlflow run` created one."""
        attached, self.attached_run = self.attached_run, None
        try:
            yield
        finally:
            self.attached_run = attached


def is_result(run: Run) -> bool:
    """Whether a run finished and holds a result, rather than a note that an earlier run holds it."""
    return run.info.status == "FINISHED" and "rpmask.reused" not in run.data.tags


def none_finished(step: str, task: str, experiment: str) -> RpmaskError:
    """The error of a verb that would continue from the latest run of a step, where there is none."""
    return RpmaskError(
        f"There is no finished `{step}` of the task '{task}' in the experiment '{experiment}'.",
        f"Run `rpmask {step} --task {shlex.quote(task)}` first, or name a run with --from RUN_ID. "
        "The order is sample, screen, select, finetune.",
    )
