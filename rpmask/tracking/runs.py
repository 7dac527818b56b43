"""The MLflow run of one step: its parameters, metrics, artifacts and end; `open_run.py` opens it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from rpmask.files import write_whole
from rpmask.jsonrecord import digest_of, finite
from rpmask.tracking.manifest import MANIFEST, TAG, digest_of_file, manifest_text
from rpmask.tracking.points import PointFile
from rpmask.tracking.signals import signals_deferred
from rpmask.tracking.step import Step
from rpmask.tracking.tracker import NOTE, Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT = "result.json"
FLUSH_POINTS = 200
FLUSH_SECONDS = 5.0
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Chart:
    """A figure, its file name, and its caption on the page of all charts."""

    name: str
    caption: str
    figure: Figure


class StepRun:
    """The MLflow run of one step. Metrics are sent in batches; artifacts are written whole."""

    def __init__(
        self,
        tracker: Tracker,
        step: Step,
        run_id: str,
        *,
        reused: bool = False,
        resumed: Run | None = None,
    ) -> None:
        self.tracker, self.step, self.run_id, self.reused = tracker, step, run_id, reused
        self.resumed = resumed is not None
        self._ended = reused
        self._client = tracker.client
        self._work = tracker.folder / "work" / digest_of([tracker.place, step.key])[:16]
        self._points: list[Metric] = []
        self._flushed = time.monotonic()
        self._started = self._seconds_saved = time.monotonic()
        self._before = self._seconds_before() if resumed else 0.0
        self._written: dict[str, str] = {}  # artifacts and their digests
        self._seen: set[tuple[str, int]] = set()
        for name in resumed.data.metrics if resumed else ():
            history = self._client.get_metric_history(run_id, name)
            self._seen.update((point.key, point.step) for point in history)
        if resumed:
            for point in PointFile(self.work, run_id).written():
                if (point.key, point.step) not in self._seen:
                    self._seen.add((point.key, point.step))
                    self._points.append(point)

    @property
    def work(self) -> Path:
        """The folder for what the step needs to continue after an interruption."""
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work

    @property
    def seconds(self) -> float:
        """How long the step has taken, over all processes that worked on it."""
        return self._before + time.monotonic() - self._started

    @property
    def _clock(self) -> Path:
        return self._work / f"seconds-{self.run_id[:12]}.json"

    def _seconds_before(self) -> float:
        try:
            return float(json.loads(self._clock.read_text()))
        except (OSError, ValueError, TypeError):  # not there, or damaged
            return 0.0

    def _keep_seconds(self) -> None:
        """Save the elapsed seconds for the process that resumes; a kill loses those since the last save."""
        self._seconds_saved = time.monotonic()
        write_whole(self.work / self._clock.name, json.dumps(self.seconds).encode())

    def delete_work(self) -> None:
        """Delete the resume folder."""
        if self._work.exists():
            shutil.rmtree(self._work)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters, except those that `mlflow run` logged already."""
        known = self._client.get_run(self.run_id).data.params
        new = [Param(k, as_param(v)) for k, v in params.items() if v is not None and k not in known]
        if new:
            self._client.log_batch(self.run_id, params=new)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Log a point of a curve, unless an interrupted attempt has logged it already."""
        if time.monotonic() - self._seconds_saved > FLUSH_SECONDS:
            self._keep_seconds()
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

    def log_file(self, path: Path) -> None:
        """Add a file to the run's artifacts."""
        self._written[path.name] = digest_of_file(path)
        self._client.log_artifact(self.run_id, str(path))

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
        """Add a text file to the run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write_whole(path, text.encode())
            self.log_file(path)

    def log_charts(self, charts: Sequence[Chart], *, intro: str) -> None:
        """Add a step's charts: each as a PNG, all of them on one self-contained HTML page."""
        from rpmask.charts import draw, page

        pictures = [draw(chart.caption, chart.figure) for chart in charts]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "charts"
            folder.mkdir()
            for chart, picture in zip(charts, pictures, strict=True):
                (folder / f"{chart.name}.png").write_bytes(picture.png)
            html = page(self.step.title, intro, pictures)
            (folder / f"{self.step.name}.html").write_text(html, encoding="utf-8")
            self.log_folder(Path(temporary))

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the run MLflow's current one, for those of its calls that take no run id."""
        with signals_deferred(self.tracker.uri):
            mlflow.start_run(run_id=self.run_id)
            try:
                yield
            finally:
                mlflow.end_run("RUNNING")  # `finish` or `fail` closes it

    def result(self) -> dict[str, Any]:
        """What the finished run printed with --json."""
        stored = self.tracker.artifacts.json(self.run_id, RESULT)
        return {**stored, "reused": True}

    def finish(self, result: Mapping[str, Any], note: str, **seconds: float) -> dict[str, Any]:
        """Write the result and close the run; `seconds` is how long each part took."""
        document = {
            "run_id": self.run_id,
            "experiment": self.tracker.experiment,
            "task": self.step.task,
            "model": self.step.params.get("model"),
            "level": self.step.level,
            "sparsity": self.step.sparsity,
            "seconds": {
                "total": round(self.seconds, 3),
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
        with signals_deferred(self.tracker.uri):
            self._client.set_terminated(self.run_id, "FINISHED")
            self._ended = True
        self.delete_work()
        return document

    def fail(self, status: str, reason: str) -> None:
        """Close the run as FAILED or KILLED; the same command continues it."""
        with suppress(OSError):  # a full disk may be what ends it
            if self._work.exists():  # there is something to continue
                self._keep_seconds()
        self.flush()
        self._client.set_tag(self.run_id, "rpmask.failure", reason[:400])
        self._client.set_terminated(self.run_id, status)

    def __enter__(self) -> StepRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: Any) -> None:
        try:
            if kind is not None and not self._ended:
                stopped = issubclass(kind, (KeyboardInterrupt, SystemExit))
                self.fail("KILLED" if stopped else "FAILED", f"{kind.__name__}: {error}")
        except MlflowException:
            # The store is unreachable or full. The run stays RUNNING until the same command continues it; the
            # error that ended the step is the one to report.
            return


def as_param(value: Any) -> str:
    """A parameter's value as MLflow stores it."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)
