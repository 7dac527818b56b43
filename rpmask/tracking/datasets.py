"""Log the splits that a step reads as MLflow datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from rpmask.tracking.runs import StepRun

ATTEMPTS = 3
KNOWN = (
    "unique constraint",
    "duplicate entry",
)  # in the errors of SQLite and PostgreSQL, and of MySQL
NUMBERS, PICTURES = ("label", "row", "document"), ("image",)  # columns
DIGEST_LENGTH = 36  # the most that MLflow stores


def log_datasets(
    run: StepRun, task: str, source: str, splits: Mapping[str, Any], digests: Mapping[str, str]
) -> None:
    """Log the splits with their digests."""
    inputs = []
    for name, split in splits.items():
        table = split.remove_columns([name for name in PICTURES if name in split.column_names])
        frame = table.to_pandas()
        # As floats: MLflow warns about integer columns, which cannot hold a missing value.
        frame = frame.astype({name: "float64" for name in NUMBERS if name in frame})
        dataset = from_pandas(
            frame,
            source=CodeDatasetSource(tags={"rpmask.source": source}),
            name=f"{task}-{name}",
            digest=digests[name][:DIGEST_LENGTH],
        )
        tag = InputTag(MLFLOW_DATASET_CONTEXT, name)
        inputs.append(DatasetInput(dataset._to_mlflow_entity(), [tag]))
    _log_inputs(run, inputs)


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
