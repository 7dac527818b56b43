"""Metric points on disk, so that no kill loses one that MLflow has not received.

A step that continues from a checkpoint does not repeat the training steps before it: their points exist
only here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Metric


class PointFile:
    """The points of one run, one line each; a line that a kill cut short is skipped."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / f"points-{run_id[:12]}.jsonl"

    def add(self, name: str, value: float, step: int) -> Metric:
        """Write a point; return it as MLflow takes it."""
        point = Metric(name, float(value), int(time.time() * 1000), step)
        line = json.dumps([point.key, point.value, point.timestamp, point.step])
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # the first line break ends a line that was cut short
        return point

    def written(self) -> Iterator[Metric]:
        """Every point in the file, sent or not."""
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                name, value, timestamp, step = json.loads(line)
            except ValueError:
                continue
            yield Metric(name, value, timestamp, step)
