"""Look up models in the registry: which version an address names, its run, and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import digest_of
from rpmask.tracking.absence import is_absent
from rpmask.tracking.artifacts import NOT_THERE, local_copy
from rpmask.tracking.manifest import digest_of_file
from rpmask.tracking.tracker import Tracker
from rpmask.words import percent

SELECTED, CHAMPION, DENSE, JACKPOT = "selected", "champion", "dense", "jackpot"  # the aliases
MOST_VERSIONS = 2**31 - 1  # the largest integer that a database column takes
FILES = "rpmask.files"  # the tag of a version that holds the digest of its files


def model_name(task: str) -> str:
    """The registered model for a task."""
    return f"rpmask-{task}"


def is_mlflow_address(source: str) -> bool:
    """Whether a model source is an address in MLflow."""
    return source.startswith(("models:/", "runs:/"))


def is_version_address(source: str) -> bool:
    """Whether an address names a registered version: by number or alias, not by a logged model's id."""
    path = source.removeprefix("models:/")
    return path != source and not (path.startswith("m-") and "/" not in path)


def fetch(tracker: Tracker, source: str) -> str:
    """A local folder for a model in MLflow; any other source unchanged."""
    if not is_mlflow_address(source):
        return source
    try:
        uri = _location(tracker.client, source)
        name = hashlib.sha256(uri.encode()).hexdigest()[:16]
        folder = local_copy(uri, tracker.folder / "cache" / "models" / name)
    except MlflowException as error:
        if not is_absent(error):
            raise
        raise _no_model(source) from error
    except NOT_THERE as error:
        raise _no_model(source, error) from error
    if not folder.exists():
        raise _no_model(source, f"{folder} is gone")
    if is_version_address(source):
        registered = _version(tracker.client, source).tags.get(FILES)
        if registered is not None and registered != files_digest(folder):
            raise RpmaskError(
                f"The files of the registered model '{source}' are not the ones that were registered.",
                f"{folder} was damaged or swapped; put it back, or train it again with --force.",
            )
    return str(folder)


def files_digest(folder: Path) -> str:
    """sha256 over the names and the content of a registered model's weights and configuration."""
    files = sorted((folder / "model").glob("*.safetensors"))
    digests = [(path.name, digest_of_file(path)) for path in (*files, folder / "model/config.json")]
    return digest_of(digests)


def reads_pairs(folder: Path) -> bool | None:
    """Whether a model that MLflow holds reads pairs of texts; None if the folder does not say."""
    from mlflow.models import Model

    if not (folder / "MLmodel").is_file():
        return None
    signature = Model.load(folder).signature
    return None if signature is None else "text_pair" in signature.inputs.input_names()


def find_version(tracker: Tracker, source: str) -> ModelVersion:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names now."""
    try:
        return _version(tracker.client, source)
    except MlflowException as error:
        if not is_absent(error):
            raise
        raise _no_model(source) from error


def run_of(tracker: Tracker, source: str) -> str:
    """The run that registered a version; a run id is returned as it is."""
    return str(find_version(tracker, source).run_id) if is_mlflow_address(source) else source


def pin(tracker: Tracker, source: str) -> str:
    """`models:/NAME@ALIAS` with the number of its present version: the alias may move during a run."""
    if not source.startswith("models:/") or "@" not in source:
        return source
    version = find_version(tracker, source)
    return f"models:/{version.name}/{version.version}"


def check_dense(tracker: Tracker, source: str) -> None:
    """Refuse a pruned version where a dense model is needed."""
    if not is_version_address(source):
        return
    tags = find_version(tracker, source).tags
    sparsity = float(tags.get("rpmask.sparsity", 0.0))
    if sparsity > 0:
        trained = tags.get("rpmask.step") == "finetune"
        raise RpmaskError(
            f"'{source}' is pruned, to {percent(sparsity)}; --model is a dense one.",
            f"`rpmask sample --from {source}` draws sparser masks inside its own."
            if trained
            else f"`rpmask finetune --from {source}` trains it.",
        )


def champion_version(tracker: Tracker, task: str) -> ModelVersion | None:
    """The version with the alias `champion`; None if no model was ever promoted."""
    try:
        return tracker.client.get_model_version_by_alias(model_name(task), CHAMPION)
    except MlflowException as error:
        if not is_absent(error):
            raise
        return None


def champion(tracker: Tracker, task: str) -> Mapping[str, str] | None:
    """Tags of the champion, if there is one."""
    version = champion_version(tracker, task)
    return None if version is None else dict(version.tags)


def champion_address(tracker: Tracker, task: str) -> dict[str, Any] | None:
    """Name, version and alias of the champion, if there is one."""
    version = champion_version(tracker, task)
    if version is None:
        return None
    return {"name": model_name(task), "version": int(version.version), "alias": CHAMPION}


def champion_runs(tracker: Tracker, tasks: set[str]) -> set[str]:
    """The runs that made the present champions of these tasks."""
    found = (champion_version(tracker, task) for task in tasks)
    return {
        str(version.tags.get("rpmask.run", version.run_id))
        for version in found
        if version is not None
    }


def _location(client: MlflowClient, source: str) -> str:
    """The URI of the files of `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `runs:/ID/PATH`."""
    kind, _, rest = source.partition(":/")
    if kind == "runs":
        run_id, _, path = rest.partition("/")
        return f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{path}"
    if not is_version_address(source):
        return str(client.get_logged_model(rest).artifact_location)
    registered = str(_version(client, source).source)
    return _location(client, registered) if is_mlflow_address(registered) else registered


def _version(client: MlflowClient, source: str) -> ModelVersion:
    name, at, alias = source.removeprefix("models:/").partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, number = name.partition("/")
    if not number.isdecimal() or int(number) > MOST_VERSIONS:
        raise _no_model(source, f"'{number}' is not the number of a version")
    return client.get_model_version(name, number)


def _no_model(source: str, why: object = "") -> RpmaskError:
    reason = f": {str(why).splitlines()[0]}" if why else "."
    return RpmaskError(
        f"There is no model '{source}' in the registry{reason}",
        "`rpmask select` registers models:/rpmask-TASK@selected, `rpmask finetune` @champion.",
    )
