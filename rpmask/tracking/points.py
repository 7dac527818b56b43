"""Metric points on their way to the tracking server: on disk at once, so that no kill loses one.

A step that is continued from a checkpoint does not come by the steps before it again; the points of
those that were not sent yet are only here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Metric


class PointFile:
    """The points of one run, a line each; what a kill cut short is passed over."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / f"points-{run_id[:12]}.jsonl"

    def add(self, name: str, value: float, step: int) -> Metric:
        """Keep a point; what MLflow is to be sent."""
        point = Metric(name, float(value), int(time.time() * 1000), step)
        line = json.dumps([point.key, point.value, point.timestamp, point.step])
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # what a kill cut short ends before it
        return point

    def kept(self) -> Iterator[Metric]:
        """Every point that was kept, sent or not."""
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                name, value, timestamp, step = json.loads(line)
            except ValueError:
                continue
            yield Metric(name, value, timestamp, step)
