"""Where MLflow finds the rows of a logged dataset again: the task, its options, the split, and their digest.

    mlflow.data.get_source(run.inputs.dataset_inputs[0]).load()

The package names this class to MLflow in its entry points, so that nothing has to be imported first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mlflow.data.dataset_source import DatasetSource

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice

if TYPE_CHECKING:
    import datasets


class TaskSource(DatasetSource):
    """One split of a task: train, selection, or one of dev."""

    def __init__(self, task: str, split: str, digest: str, source: str, data: DataChoice) -> None:
        self.task, self.split, self.digest = task, split, digest
        self.source, self.data = source, data

    def load(self) -> datasets.Dataset:
        """The rows of the split, refused if they are no longer the ones that were logged.

        The column `label` of a classification knows the names of its classes.
        """
        from rpmask.tasks.registry import load_task

        found = load_task(self.task, self.data)
        if found.digests.get(self.split) != self.digest:
            raise RpmaskError(
                f"The rows of '{self.task}' {self.split} in {self.source} are not the ones that were logged.",
                "The files have changed since; put the former ones back.",
            )
        return found.split(self.split)

    def to_dict(self) -> dict[Any, Any]:
        """The source as MLflow stores it."""
        own = {name: getattr(self, name) for name in ("task", "split", "digest", "source")}
        return {**own, "data": self.data.to_dict()}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> Self:
        """The source from what MLflow stored."""
        return cls(**{**source_dict, "data": DataChoice.from_dict(source_dict["data"])})

    @staticmethod
    def _get_source_type() -> str:
        return "rpmask"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> Self:
        raise NotImplementedError("A task is not found by an address.")
