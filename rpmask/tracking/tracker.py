"""Find, continue or start the MLflow run of a step.

A step is known by its key: inputs, parameters, code version. A finished run with the key is used
again; one that was interrupted is continued under the same run id; and a key is computed by one
process at a time on a machine, which a lock held for the process's life makes sure of.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import mlflow
from mlflow.entities import Run, RunTag

from rpmask.errors import RpmaskError
from rpmask.tracking.absence import is_absent
from rpmask.tracking.artifacts import ArtifactStore, sweep
from rpmask.tracking.client import Client, undivided
from rpmask.tracking.filters import tag_clause
from rpmask.tracking.locks import hold_lock
from rpmask.tracking.runs import NOTE, PARENT, StepKey, StepRun
from rpmask.tracking.server import connect, identity

KIND = "mlflow.experimentKind"
ABOUT = (
    "Masks drawn, raced, chosen and trained by **rpmask**. A `run` holds its levels' steps; a `screen` "
    "holds its candidates. Every run's description says what was done and what to do next; its charts "
    "are under Artifacts, in `charts`."
)


class Tracker:
    """One tracking server and one experiment, which is made with its first run."""

    def __init__(self, uri: str | None, experiment: str, *, folder: Path) -> None:
        self.uri = connect(uri)
        self.client = Client()
        self.folder = folder
        self._attach = os.environ.get("MLFLOW_RUN_ID")
        self.experiment, self._chosen = experiment, ""
        if self._attach:  # `mlflow run` made the run and chose its experiment
            self._chosen = self.client.get_run(self._attach).info.experiment_id
            self.experiment = self.client.get_experiment(self._chosen).name
        self.artifacts = ArtifactStore(self.client, folder / "cache")

    @cached_property
    def experiment_id(self) -> str:
        """The experiment's id, for what is written into it; one that is not there yet is made."""
        if self._chosen:
            return self._chosen
        with undivided(self.uri):
            found = mlflow.set_experiment(self.experiment)
        if KIND not in found.tags:
            # Say in the UI what the experiment holds, and have it shown as model training.
            self.client.set_experiment_tag(found.experiment_id, KIND, "custom_model_development")
            self.client.set_experiment_tag(found.experiment_id, NOTE, ABOUT)
        return str(found.experiment_id)

    @property
    def place(self) -> str:
        """The store and the experiment: what locks and work folders are a part of."""
        return f"{identity(self.uri)}|{self.experiment_id}"

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written into the experiment; asking does not make it."""
        known = "experiment_id" in self.__dict__  # it was asked for, and so made, in this process
        return not known and self.client.get_experiment_by_name(self.experiment) is None

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
            if run.info.status == "FINISHED" and "rpmask.reused" not in run.data.tags:
                return str(run.info.run_id)
        raise RpmaskError(
            f"There is no finished `{step}` of the task '{task}' in the experiment "
            f"'{self.experiment}'.",
            f"Run `rpmask {step} --task {shlex.quote(task)}` first, or name a run with --from RUN_ID.",
        )

    def step_of(self, run_id: str, step: str) -> str:
        """Check that a run is a finished run of a step."""
        found = self.step_name(run_id)
        if found != step:
            raise RpmaskError(
                f"Run '{run_id}' is a `{found}`, not a `{step}`.", f"Give the id of a `{step}` run."
            )
        return run_id

    def step_name(self, run_id: str) -> str:
        """Which step a finished run is of."""
        try:
            run = self.client.get_run(run_id)
        except mlflow.exceptions.MlflowException as error:
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
        """Which task a finished run is of."""
        self.step_name(run_id)
        return str(self.client.get_run(run_id).data.tags.get("rpmask.task", ""))

    @contextmanager
    def unattached(self) -> Iterator[None]:
        """Steps that open within this get runs of their own, even where `mlflow run` made one."""
        attach, self._attach = self._attach, None
        try:
            yield
        finally:
            self._attach = attach

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
        """Whether a pool's drawing or every screening of it failed or was killed."""
        dead = ("FAILED", "KILLED")
        if self.client.get_run(pool_run_id).info.status in dead:
            return True
        screens = self.find(step="screen", pool=pool_run_id)
        return bool(screens) and all(run.info.status in dead for run in screens)

    @contextmanager
    def open(
        self, key: StepKey, *, force: bool = False, parent: str | None = None
    ) -> Iterator[StepRun]:
        """The run of a step: finished already, interrupted and now continued, or new."""
        with ExitStack() as stack:
            stack.enter_context(hold_lock(f"{self.place}|{key.key}"))
            with undivided(self.uri):  # a run that was begun is one that will be closed
                step = self._begun(key, force, parent)
                stack.enter_context(step)
            yield step

    def _begun(self, key: StepKey, force: bool, parent: str | None) -> StepRun:
        attach = self._attach if parent is None else None
        if not force:
            for run in self.find(key=key.key):
                if run.info.status == "FINISHED" and "rpmask.reused" not in run.data.tags:
                    if attach:
                        self._point_to(attach, run.info.run_id, key)
                    done = StepRun(self, key, run.info.run_id, reused=True)
                    done.clear_work()  # it may have ended between its last word and this
                    return done
            for run in self.find(key=key.key, host=socket.gethostname()):
                if run.info.status in ("RUNNING", "FAILED", "KILLED") and not attach:
                    self.client.update_run(run.info.run_id, status="RUNNING")
                    step = StepRun(self, key, run.info.run_id, resumed=run)
                    step.log_params(key.params)  # it may have ended before it did
                    sweep(run.info.artifact_uri)
                    return step
        tags = {
            "rpmask.step": key.step,
            "rpmask.key": key.key,
            "rpmask.task": key.task,
            "rpmask.level": str(key.level),
            "rpmask.host": socket.gethostname(),
            **key.tags,
        }
        if key.sparsity is not None:
            tags["rpmask.sparsity"] = f"{key.sparsity:g}"
        if parent:
            tags[PARENT] = parent
        if attach:
            self._attach = None  # the project's run belongs to the first step that opens
            run_id = attach
            self._relabel(run_id, key, tags)
        else:
            run_id = self.client.create_run(
                self.experiment_id, tags=tags, run_name=key.name
            ).info.run_id
        step = StepRun(self, key, run_id)
        if force:
            step.clear_work()  # it starts from nothing, whatever an earlier one left there
        step.log_params(key.params)
        return step

    def _relabel(self, run_id: str, key: StepKey, tags: Mapping[str, str]) -> None:
        self.client.update_run(run_id, name=key.name)
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def _point_to(self, run_id: str, original: str, key: StepKey) -> None:
        self._attach = None
        note = f"Nothing to do: this `{key.step}` had already finished as run `{original}`."
        self._relabel(run_id, key, {"rpmask.step": key.step, "rpmask.reused": original, NOTE: note})
