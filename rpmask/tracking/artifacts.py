"""The one reader of what steps leave in MLflow."""

from __future__ import annotations

import errno
import json
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.records import SCHEMA_VERSION
from rpmask.tracking.absence import is_absent
from rpmask.tracking.manifest import MANIFEST, TAG, changed, digest_of_file, read_manifest

R = TypeVar("R", bound=Record)
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
UPLOADING = ".artifact.uploading.*"  # MLflow's name for a file on its way


def bring(uri: str, cache: Path) -> Path:
    """Where an artifact lies on this machine; one that does not is downloaded into the cache.

    MLflow's own download copies local artifacts too, into temporary folders that nobody removes. It fails
    in the same way for what is not there and for a store that is not: so the store is asked what it has.
    FileNotFoundError is absence, MlflowException an outage.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        return Path(unquote(parts.path) if parts.scheme else uri)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(cache)))
    except Exception as error:  # each kind of store raises its own family
        if not _listed(uri):
            raise FileNotFoundError(errno.ENOENT, "There is no such artifact", uri) from error
        if isinstance(error, MlflowException):
            raise
        raise MlflowException(f"{uri} cannot be fetched: {error}") from error


def _listed(uri: str) -> bool:
    """Whether an artifact is in its folder; true where the store does not say."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    try:
        found = mlflow.artifacts.list_artifacts(artifact_uri=folder)
    except Exception as error:
        return not is_absent(error)
    return any(PurePosixPath(entry.path).name == name for entry in found)


def sweep(uri: str) -> None:
    """Remove what uploads that were cut short left in a run's artifact folder on this machine."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        for path in Path(unquote(parts.path)).rglob(UPLOADING):
            path.unlink(missing_ok=True)


class ArtifactStore:
    """Artifacts of runs, fetched where they are not on this machine already."""

    def __init__(self, client: MlflowClient, cache: Path) -> None:
        self._client, self._cache = client, cache
        self._manifests: dict[str, dict[str, str]] = {}

    def path(self, run_id: str, name: str) -> Path:
        """A local path of an artifact, which is the one that the run wrote."""
        missing = RpmaskError(
            f"Run '{run_id}' has no artifact '{name}'.",
            "It may have been deleted; run the step again with --force.",
        )
        try:
            run = self._client.get_run(run_id)
            root = run.info.artifact_uri.rstrip("/")
            if run_id not in self._manifests:
                said = run.data.tags.get(TAG)
                self._manifests[run_id] = (
                    read_manifest(bring(f"{root}/{MANIFEST}", self._cache / run_id), said, run_id)
                    if said
                    else {}
                )
            path = bring(f"{root}/{name}", self._cache / run_id)
            if not path.exists():
                raise missing
            written = self._manifests[run_id].get(name)
            if written is not None and digest_of_file(path) != written:
                raise changed(name, run_id)
        except MlflowException as error:
            if not is_absent(error):
                raise
            raise missing from error
        except NOT_THERE as error:
            raise missing from error
        return path

    def json(self, run_id: str, name: str) -> Any:
        """A JSON artifact."""
        return read_json(self.path(run_id, name), name, run_id)

    def record(self, run_id: str, name: str, kind: type[R]) -> R:
        """A record, refused if a newer rpmask wrote it or it belongs to another run."""
        return read_record(self.path(run_id, name), name, run_id, kind)


def read_json(path: Path, name: str, run_id: str) -> Any:
    """A JSON file of a run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RpmaskError(
            f"The artifact '{name}' of run '{run_id}' is not JSON: {error}.",
            "The file is damaged; run the step again with --force.",
        ) from error


def read_record(path: Path, name: str, run_id: str, kind: type[R]) -> R:
    """A record of a run, as `ArtifactStore.record` has it."""
    raw = read_json(path, name, run_id)
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
