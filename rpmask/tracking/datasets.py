"""Log the splits that a step reads as MLflow datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from rpmask.records import DataChoice
from rpmask.tracking.runs import StepRun
from rpmask.tracking.task_source import TaskSource

# What the groups of metrics were measured on.
ON = {
    "train": "train",
    **dict.fromkeys(("selection", "on_selection", "dense_on_selection"), "selection"),
}
ON_DEV = ("dev", "dense", "start")
ATTEMPTS = 3
KNOWN = (
    "unique constraint",
    "duplicate entry",
)  # in the errors of SQLite and PostgreSQL, and of MySQL
NUMBERS, PICTURES = ("label", "row", "document"), ("image",)  # columns
DIGEST_LENGTH = 36  # the most that MLflow stores


def log_datasets(
    run: StepRun,
    task: str,
    source: str,
    choice: DataChoice,
    splits: Mapping[str, Any],
    digests: Mapping[str, str],
) -> None:
    """Log the splits with their digests; `choice` is where and how they were read."""
    inputs = []
    for name, split in splits.items():
        table = split.remove_columns([name for name in PICTURES if name in split.column_names])
        frame = table.to_pandas()
        # As floats: MLflow warns about integer columns, which cannot hold a missing value.
        frame = frame.astype({name: "float64" for name in NUMBERS if name in frame})
        dataset = from_pandas(
            frame,
            source=TaskSource(task, name, digests[name], source, choice),
            name=f"{task}-{name}",
            digest=digests[name][:DIGEST_LENGTH],
        )
        tag = InputTag(MLFLOW_DATASET_CONTEXT, name)
        inputs.append(DatasetInput(dataset._to_mlflow_entity(), [tag]))
    _log_inputs(run, inputs)


def logged_datasets(run: Run) -> dict[str, tuple[str, str]]:
    """Name and digest of the datasets of a run, by split."""
    assert run.inputs is not None
    return {
        tag.value: (found.dataset.name, found.dataset.digest)
        for found in run.inputs.dataset_inputs
        for tag in found.tags
        if tag.key == MLFLOW_DATASET_CONTEXT
    }


def split_of(metric: str, splits: Iterable[str]) -> str | None:
    """The split that a metric was measured on, by its name; None for one that was not measured on rows.

    `dev/dev_mismatched/accuracy` was measured on `dev_mismatched`, `dense/accuracy` on the first dev
    split.
    """
    group, *inside = metric.split("/")
    if group in ON:
        return ON[group]
    dev = [split for split in splits if split not in ON.values()]
    if group not in ON_DEV or not dev:
        return None
    return inside[0] if len(inside) > 1 else min(dev)


def _log_inputs(run: StepRun, inputs: list[DatasetInput]) -> None:
    """Log inputs, again if another step has just added the same dataset.

    MLflow looks a dataset up and then adds it: of two steps that do so at once, one fails.
    """
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            run.tracker.client.log_inputs(run.run_id, datasets=inputs)
        except MlflowException as error:
            known = any(words in str(error).lower() for words in KNOWN)
            if not (known and attempts_left):
                raise
        else:
            return
