"""Read the artifacts of runs."""

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
UPLOADING = ".artifact.uploading.*"  # MLflow's name for a file during its upload


def local_path(uri: str) -> Path | None:
    """The path of an artifact on this machine's disk; None if its store is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path)) if parts.scheme else Path(uri)


def local_copy(uri: str, cache: Path) -> Path:
    """The path of an artifact, downloaded into the cache unless it is on this machine.

    MLflow's own download copies local artifacts too, into temporary folders that it never removes. It also
    fails in the same way for a missing artifact and for a store that is away, so the store is asked for a
    list. FileNotFoundError means absence, MlflowException an outage.
    """
    path = local_path(uri)
    if path is not None:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(cache)))
    except Exception as error:  # each kind of store raises exceptions of its own
        if not _may_exist(uri):
            raise FileNotFoundError(errno.ENOENT, "There is no such artifact", uri) from error
        if isinstance(error, MlflowException):
            raise
        raise MlflowException(f"{uri} cannot be fetched: {error}") from error


def _may_exist(uri: str) -> bool:
    """Whether an artifact is in its folder; also true if the store does not answer."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    try:
        found = mlflow.artifacts.list_artifacts(artifact_uri=folder)
    except Exception as error:
        return not is_absent(error)
    return any(PurePosixPath(entry.path).name == name for entry in found)


def delete_partial_uploads(uri: str) -> None:
    """Remove the files that interrupted uploads left in a run's artifact folder on this machine."""
    folder = local_path(uri)
    for path in folder.rglob(UPLOADING) if folder is not None else ():
        path.unlink(missing_ok=True)


class ArtifactStore:
    """Artifacts of runs; those on another machine are downloaded into a cache."""

    def __init__(self, client: MlflowClient, cache: Path) -> None:
        self._client, self._cache = client, cache
        self._manifests: dict[str, dict[str, str]] = {}

    def path(self, run_id: str, name: str) -> Path:
        """The local path of an artifact, checked against the run's manifest."""
        missing = RpmaskError(
            f"Run '{run_id}' has no artifact '{name}'.",
            "It may have been deleted; run the step again with --force.",
        )
        try:
            run = self._client.get_run(run_id)
            root, cache = run.info.artifact_uri.rstrip("/"), self._cache / run_id
            if run_id not in self._manifests:
                digest = run.data.tags.get(TAG)
                self._manifests[run_id] = (
                    read_manifest(local_copy(f"{root}/{MANIFEST}", cache), digest, run_id)
                    if digest
                    else {}
                )
            path = local_copy(f"{root}/{name}", cache)
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
        """The content of a JSON artifact."""
        return read_json(self.path(run_id, name), name, run_id)

    def record(self, run_id: str, name: str, kind: type[R]) -> R:
        """A record; refused if a newer rpmask wrote it or it belongs to another run."""
        return read_record(self.path(run_id, name), name, run_id, kind)


def read_json(path: Path, name: str, run_id: str) -> Any:
    """The content of a run's JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RpmaskError(
            f"The artifact '{name}' of run '{run_id}' is not JSON: {error}.",
            "The file is damaged; run the step again with --force.",
        ) from error


def read_record(path: Path, name: str, run_id: str, kind: type[R]) -> R:
    """A record in a run's file, with the checks of `ArtifactStore.record`."""
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
