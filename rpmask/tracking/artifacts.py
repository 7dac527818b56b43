"""The one reader of what steps leave in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow import MlflowClient

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.records import SCHEMA_VERSION

R = TypeVar("R", bound=Record)


def bring(uri: str, cache: Path) -> Path:
    """Where an artifact lies on this machine; one that does not is downloaded into the cache.

    MLflow's own download copies local artifacts too, into temporary folders that nobody removes.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        return Path(unquote(parts.path) if parts.scheme else uri)
    cache.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(cache)))


class ArtifactStore:
    """Artifacts of runs, fetched where they are not on this machine already."""

    def __init__(self, client: MlflowClient, cache: Path) -> None:
        self._client, self._cache = client, cache

    def path(self, run_id: str, name: str) -> Path:
        """A local path of an artifact."""
        missing = RpmaskError(
            f"Run '{run_id}' has no artifact '{name}'.",
            "It may have been deleted; run the step again with --force.",
        )
        try:
            root = self._client.get_run(run_id).info.artifact_uri
            path = bring(f"{root.rstrip('/')}/{name}", self._cache / run_id)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise missing from error
        if not path.exists():
            raise missing
        return path

    def json(self, run_id: str, name: str) -> Any:
        """A JSON artifact."""
        try:
            return json.loads(self.path(run_id, name).read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError, RecursionError) as error:
            raise RpmaskError(
                f"The artifact '{name}' of run '{run_id}' is not JSON: {error}.",
                "The file is damaged; run the step again with --force.",
            ) from error

    def record(self, run_id: str, name: str, kind: type[R]) -> R:
        """A record, refused if a newer rpmask wrote it or it belongs to another run."""
        raw = self.json(run_id, name)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise RpmaskError(
                f"'{name}' of run '{run_id}' has schema version {version}; "
                f"this rpmask reads up to {SCHEMA_VERSION}.",
                "Upgrade rpmask.",
            )
        record = kind.from_dict(raw, name)
        owner = getattr(record, "run_id", run_id)
        if owner not in ("", run_id):
            raise RpmaskError(
                f"'{name}' of run '{run_id}' says that run '{owner}' wrote it.",
                "The file was swapped with another run's; run the step again with --force.",
            )
        return record
