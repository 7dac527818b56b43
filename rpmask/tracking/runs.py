"""Start, find, resume and finish the MLflow run of a step.

A step is known by its key: inputs, parameters, code version. A finished run with the key is used
again; one that was interrupted is continued under the same run id; and a key is computed by one
process at a time on a machine, which a lock held for the process's life makes sure of.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import finite
from rpmask.tracking.artifacts import ArtifactStore, sweep
from rpmask.tracking.locks import hold_lock
from rpmask.tracking.manifest import MANIFEST, TAG, digest_of_file, manifest_text
from rpmask.tracking.points import PointFile
from rpmask.tracking.server import connect, identity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT = "result.json"
FLUSH_POINTS = 200
FLUSH_SECONDS = 5.0
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
KIND = "mlflow.experimentKind"
ABOUT = (
    "Masks drawn, raced, chosen and trained by **rpmask**. A `run` holds its levels' steps; a `screen` "
    "holds its candidates. Every run's description says what was done and what to do next; its charts "
    "are under Artifacts, in `charts`."
)


@dataclass(frozen=True)
class StepKey:
    """What a step's run is called and found by."""

    step: str
    key: str
    name: str
    task: str
    level: int
    sparsity: float | None
    params: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Chart:
    """A figure, the file name it gets, and the line under it on the page of all charts."""

    name: str
    caption: str
    figure: Figure


class Tracker:
    """One tracking server and one experiment."""

    def __init__(self, uri: str | None, experiment: str, *, folder: Path) -> None:
        self.uri = connect(uri)
        self.client = MlflowClient()
        self.folder = folder
        self._attach = os.environ.get("MLFLOW_RUN_ID")
        if self._attach:  # `mlflow run` made the run and chose its experiment
            project = self.client.get_run(self._attach)
            self.experiment_id = project.info.experiment_id
            self.experiment = self.client.get_experiment(self.experiment_id).name
        else:
            self.experiment = experiment
            found = mlflow.set_experiment(experiment)
            self.experiment_id = found.experiment_id
            if KIND not in found.tags:
                self._describe()
        self.artifacts = ArtifactStore(self.client, folder / "cache")

    def _describe(self) -> None:
        """Say in the UI what the experiment holds, and have it shown as model training."""
        self.client.set_experiment_tag(self.experiment_id, KIND, "custom_model_development")
        self.client.set_experiment_tag(self.experiment_id, NOTE, ABOUT)

    def find(self, **tags: str) -> list[Run]:
        """Runs of this experiment with these rpmask tags, latest first."""
        wanted = [f"tags.`rpmask.{name}` = '{value}'" for name, value in tags.items()]
        return list(
            self.client.search_runs(
                [self.experiment_id],
                " and ".join(wanted),
                order_by=["attributes.start_time DESC"],
                max_results=200,
            )
        )

    def latest(self, step: str, task: str) -> str:
        """The latest finished run of a step for a task."""
        for run in self.find(step=step, task=task):
            if run.info.status == "FINISHED" and "rpmask.reused" not in run.data.tags:
                return str(run.info.run_id)
        raise RpmaskError(
            f"There is no finished `{step}` of the task '{task}' in the experiment "
            f"'{self.experiment}'.",
            f"Run `rpmask {step} --task {task}` first, or name a run with --from RUN_ID.",
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

    def lost(self, pool_run_id: str) -> bool:
        """Whether a pool's drawing or every screening of it failed or was killed."""
        dead = ("FAILED", "KILLED")
        if self.client.get_run(pool_run_id).info.status in dead:
            return True
        screens = self.find(step="screen", pool=pool_run_id)
        return bool(screens) and all(run.info.status in dead for run in screens)

    def open(self, key: StepKey, *, force: bool = False, parent: str | None = None) -> StepRun:
        """The run of a step: finished already, interrupted and now continued, or new."""
        stack = ExitStack()
        stack.enter_context(hold_lock(f"{identity(self.uri)}|{self.experiment_id}|{key.key}"))
        attach = self._attach if parent is None else None
        if not force:
            for run in self.find(key=key.key):
                if run.info.status == "FINISHED" and "rpmask.reused" not in run.data.tags:
                    if attach:
                        self._point_to(attach, run.info.run_id, key)
                    done = StepRun(self, key, run.info.run_id, stack, reused=True)
                    done.clear_work()  # it may have ended between its last word and this
                    return done
            for run in self.find(key=key.key, host=socket.gethostname()):
                if run.info.status in ("RUNNING", "FAILED", "KILLED") and not attach:
                    self.client.update_run(run.info.run_id, status="RUNNING")
                    step = StepRun(self, key, run.info.run_id, stack, resumed=run)
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
        step = StepRun(self, key, run_id, stack)
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


class StepRun:
    """The MLflow run of one step. Metrics are buffered; artifacts are written whole."""

    def __init__(
        self,
        tracker: Tracker,
        key: StepKey,
        run_id: str,
        stack: ExitStack,
        *,
        reused: bool = False,
        resumed: Run | None = None,
    ) -> None:
        self.tracker, self.key, self.run_id, self.reused = tracker, key, run_id, reused
        self.resumed = resumed is not None
        self._client, self._stack = tracker.client, stack
        self._work = tracker.folder / "work" / key.key[:16]
        self._points: list[Metric] = []
        self._flushed = time.monotonic()
        self._started = time.monotonic()
        self._written: dict[str, str] = {}  # artifacts and their digests
        self._seen: set[tuple[str, int]] = set()
        for name in resumed.data.metrics if resumed else ():
            history = self._client.get_metric_history(run_id, name)
            self._seen.update((point.key, point.step) for point in history)
        if resumed:
            for point in PointFile(self.work, run_id).kept():
                if (point.key, point.step) not in self._seen:
                    self._seen.add((point.key, point.step))
                    self._points.append(point)

    @property
    def work(self) -> Path:
        """Where the step keeps what it needs to continue after an interruption."""
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work

    def clear_work(self) -> None:
        """Forget what was kept to continue after an interruption."""
        if self._work.exists():
            shutil.rmtree(self._work)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters as given; those that `mlflow run` logged already stay as they are."""
        known = self._client.get_run(self.run_id).data.params
        new = [Param(k, _shown(v)) for k, v in params.items() if v is not None and k not in known]
        if new:
            self._client.log_batch(self.run_id, params=new)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """A point of a curve; a point that an interrupted run logged already is not logged twice."""
        if (name, step) in self._seen:
            return
        self._seen.add((name, step))
        self._points.append(PointFile(self.work, self.run_id).add(name, value, step))
        if len(self._points) >= FLUSH_POINTS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered metrics."""
        for start in range(0, len(self._points), 1000):
            self._client.log_batch(self.run_id, metrics=self._points[start : start + 1000])
        self._points.clear()
        self._flushed = time.monotonic()

    def tag(self, **tags: str) -> None:
        """Set rpmask tags."""
        entries = [RunTag(f"rpmask.{name}", value) for name, value in tags.items()]
        self._client.log_batch(self.run_id, tags=entries)

    def children(self) -> dict[int, str]:
        """Run ids of the candidates' child runs that exist, by candidate."""
        query = f"tags.`{PARENT}` = '{self.run_id}' and tags.`rpmask.step` = 'candidate'"
        found = self._client.search_runs([self.tracker.experiment_id], query, max_results=5000)
        return {int(run.data.tags["rpmask.candidate"]): run.info.run_id for run in found}

    def log_child(
        self,
        candidate: int,
        name: str,
        *,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        metrics: list[tuple[str, float, int]],
        known: str | None,
    ) -> str:
        """One candidate's child run, written at once; `known` is the run to fill if it exists."""
        own = {f"rpmask.{name}": value for name, value in tags.items()}
        run_id = known
        if run_id is None:
            base = {
                PARENT: self.run_id,
                "rpmask.step": "candidate",
                "rpmask.candidate": str(candidate),
                "rpmask.task": self.key.task,
                "rpmask.level": str(self.key.level),
            }
            run_id = self._client.create_run(
                self.tracker.experiment_id, tags={**base, **own}, run_name=name
            ).info.run_id
        now = int(time.time() * 1000)
        logged = {
            (point.key, point.step)
            for metric in {metric for metric, _, _ in metrics if known}
            for point in self._client.get_metric_history(run_id, metric)
        }
        # Each kind is a transaction of its own, and a database waits for its disk at every one.
        self._client.log_batch(
            run_id,
            params=[Param(k, _shown(v)) for k, v in params.items() if v is not None],
            tags=[RunTag(k, v) for k, v in own.items()] if known else [],
            metrics=[Metric(k, v, now, step) for k, v, step in metrics if (k, step) not in logged],
        )
        self._client.set_terminated(run_id, "FINISHED")
        return str(run_id)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Add a file to the run's artifacts."""
        self._written[f"{folder}/{path.name}" if folder else path.name] = digest_of_file(path)
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_folder(self, folder: Path) -> None:
        """Add everything in a folder to the run's artifacts."""
        for path in folder.rglob("*"):
            if path.is_file():
                self._written[path.relative_to(folder).as_posix()] = digest_of_file(path)
        self._client.log_artifacts(self.run_id, str(folder))

    def log_json(self, name: str, document: Any) -> None:
        """Add a JSON document to the run's artifacts."""
        text = json.dumps(finite(document), indent=1, ensure_ascii=False, allow_nan=False)
        self.log_text(name, text + "\n")

    def log_text(self, name: str, text: str) -> None:
        """Add a text file to the run's artifacts; `name` may have folders."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            write_whole(path, text.encode())
            parent = str(Path(name).parent)
            self.log_file(path, None if parent == "." else parent)

    def log_charts(self, charts: Sequence[Chart], *, intro: str) -> None:
        """Add a step's charts: each as a PNG, all of them on one HTML page that fetches nothing."""
        from rpmask.tracking.charts import draw, page

        pictures = [draw(chart.caption, chart.figure) for chart in charts]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "charts"
            folder.mkdir()
            for chart, picture in zip(charts, pictures, strict=True):
                (folder / f"{chart.name}.png").write_bytes(picture.png)
            html = page(self.key.name, intro, pictures)
            (folder / f"{self.key.step}.html").write_text(html, encoding="utf-8")
            self.log_folder(Path(temporary))

    def log_datasets(
        self, task: str, source: str, splits: Mapping[str, Any], digests: Mapping[str, str]
    ) -> None:
        """The splits a step reads, with their digests; MLflow keeps 36 characters of one."""
        inputs = []
        for name, split in splits.items():
            # As floats: MLflow warns of integer columns, which cannot hold a missing value.
            table = split.remove_columns([c for c in split.column_names if c == "image"])
            frame = table.to_pandas().astype({"label": "float64", "row": "float64"})
            dataset = from_pandas(
                frame,
                source=CodeDatasetSource(tags={"rpmask.source": source}),
                name=f"{task}-{name}",
                digest=digests[name][:36],
            )
            tag = InputTag(MLFLOW_DATASET_CONTEXT, name)
            inputs.append(DatasetInput(dataset._to_mlflow_entity(), [tag]))
        self._client.log_inputs(self.run_id, datasets=inputs)

    def result(self) -> dict[str, Any]:
        """What the finished run printed with --json."""
        stored = self.tracker.artifacts.json(self.run_id, RESULT)
        return {**stored, "reused": True}

    def finish(self, result: Mapping[str, Any], note: str, **seconds: float) -> dict[str, Any]:
        """Write the result and close the run as finished; seconds are those of its parts."""
        document = {
            "run_id": self.run_id,
            "experiment": self.tracker.experiment,
            "task": self.key.task,
            "model": self.key.params.get("model"),
            "level": self.key.level,
            "sparsity": self.key.sparsity,
            "seconds": {
                "total": round(time.monotonic() - self._started, 3),
                **{part: round(spent, 3) for part, spent in seconds.items()},
            },
            "reused": False,
            **result,
        }
        self.metric("seconds", document["seconds"]["total"])
        self.flush()
        self.log_json(RESULT, document)
        manifest, digest = manifest_text(self._written)
        self.log_text(MANIFEST, manifest)
        self._client.set_tag(self.run_id, TAG, digest)
        self._client.set_tag(self.run_id, NOTE, note)
        self._client.set_terminated(self.run_id, "FINISHED")
        self.clear_work()
        return document

    def fail(self, status: str, reason: str) -> None:
        """Close the run as FAILED or KILLED; the same command continues it."""
        self.flush()
        self._client.set_tag(self.run_id, "rpmask.failure", reason[:400])
        self._client.set_terminated(self.run_id, status)

    def close(self) -> None:
        """Give the key back."""
        self._stack.close()

    def __enter__(self) -> StepRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: Any) -> None:
        try:
            if kind is not None and not self.reused:
                stopped = issubclass(kind, (KeyboardInterrupt, SystemExit))
                self.fail("KILLED" if stopped else "FAILED", f"{kind.__name__}: {error}")
        except mlflow.exceptions.MlflowException:
            # The store is away or full: the run stays RUNNING there until the same command continues
            # it, and what ended the step is the error to report.
            return
        finally:
            self.close()


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)
