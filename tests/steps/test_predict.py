"""`predict` on rows that bring their labels: a line of metrics, computed by the metric of `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rpmask

from rpmask.deploy.load import load
from rpmask.deploy.manifest import Manifest
from rpmask.steps.context import Context
from rpmask.steps.input_rows import read_rows
from rpmask.steps.predict import LabelledAnswers, predict
from rpmask.tasks.evaluate_metrics import TaskMetric
from rpmask.tasks.glue import GLUE
from rpmask.tasks.metrics import score
from rpmask.train.model_place import locate

DEV = Path(locate("demo").weights).parent / "dev.jsonl"
RTE = Manifest("dense", "rte", "here", labels=GLUE["rte"].spec.labels)
MRPC = Manifest("dense", "mrpc", "here", labels=GLUE["mrpc"].spec.labels)
STSB = Manifest("dense", "stsb", "here", kind="regression")
OWN = Manifest("dense", "reviews", "here", labels=("bad", "good", "fine"))


def summary(manifest: Manifest, rows: list[tuple[Any, Any]]) -> str:
    """The summary of labels and answers."""
    labelled = LabelledAnswers(manifest, manifest.task)
    for label, answer in rows:
        key = "score" if manifest.kind == "regression" else "label"
        labelled.add(label, {key: answer})
    return labelled.summary()


def test_labels_are_names_or_numbers() -> None:
    yes, no = RTE.labels
    rows = [(yes, yes), (0, yes), ("1", yes), ("1", no)]
    assert summary(RTE, rows) == "accuracy 0.7500 on 4 rows, against their labels."
    # A number may be a class's name, which is not its place.
    turned = Manifest("dense", "own", "here", labels=("1", "0"))
    assert summary(turned, [("1", "1"), (0, "0")]).startswith("accuracy 1.0000 on 2 rows")


def test_the_metrics_are_the_tasks() -> None:
    yes, no = MRPC.labels[1], MRPC.labels[0]
    said = summary(MRPC, [(1, yes), (1, no), (0, no), (0, yes), (1, yes)])
    plain = score(GLUE["mrpc"].spec, np.array([1, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 1]))
    shown = ", ".join(f"{name} {value:.4f}" for name, value in plain.items())
    assert said == f"{shown} on 5 rows, against their labels."
    said = summary(STSB, [("1.0", 1.5), (2.0, 2.0), (3, 4.5)])
    assert [word for word in said.split() if word.isalpha()][:3] == [
        "pearson",
        "spearmanr",
        "combined",
    ]
    assert summary(OWN, [("good", "good"), (2, "bad")]).startswith("accuracy 0.5000 on 2 rows")


def test_rows_without_a_label_are_not_counted() -> None:
    rows = [("", "bad"), (None, "bad"), (-1, "bad"), ("-1", "good"), ("good", "good")]
    assert summary(OWN, rows) == "accuracy 1.0000 on 1 of 5 rows, against their labels."
    assert summary(OWN, [(None, "bad")]) == ""


@pytest.mark.parametrize("label", ["awful", 3, 0.5, [1]])
def test_a_label_of_no_class_is_said(label: Any) -> None:
    said = summary(OWN, [("good", "good"), (label, "bad")])
    assert said == f"No metrics: row 2 has the label {label!r}, where bad, good, fine is expected."


def test_labels_are_read_with_rows_of_every_kind() -> None:
    assert list(read_rows(["text,label\n", "a,1\n"], "stdin")) == [("a", "1")]
    assert list(read_rows(['{"text": "a", "label": 1}\n'], "stdin")) == [("a", 1)]
    assert list(read_rows(["a\n"], "stdin")) == [("a", None)]


def test_a_model_on_labelled_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    compute = TaskMetric._compute

    def watched(self: TaskMetric, predictions: Any, references: Any) -> dict[str, float]:
        asked.append(len(references))
        return compute(self, predictions, references)

    monkeypatch.setattr(TaskMetric, "_compute", watched)
    lines = DEV.read_text(encoding="utf-8").splitlines(keepends=True)[:40]
    said: list[str] = []
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    source = str(locate("demo").weights)
    found = list(predict(source, lines, "rows.jsonl", context, 16, said.append))
    assert asked == [40]
    rows = [json.loads(line) for line in lines]
    names = load(source).manifest.labels
    right = [names[row["label"]] == one["label"] for row, one in zip(rows, found, strict=True)]
    assert said == [f"accuracy {np.mean(right):.4f} on 40 rows, against their labels."]


def test_by_the_command_line_it_is_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(DEV.read_text().splitlines(keepends=True)[:3]))
    source = str(locate("demo").weights)
    done = rpmask(["predict", source, "--input", "rows.jsonl"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"label", "score"}] * 3
    assert done.stderr.startswith("accuracy ")
    assert done.stderr.endswith(" on 3 rows, against their labels.\n")
