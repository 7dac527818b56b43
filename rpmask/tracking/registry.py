"""The model registry: register a pruned model, verify it, move aliases, fetch it back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import pandas as pd
import torch
from huggingface_hub import ModelCard
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from torch import nn

import rpmask
from rpmask.errors import RpmaskError, RunFailed
from rpmask.jsonrecord import digest_of
from rpmask.logs import hushed, lower
from rpmask.tasks.spec import TaskSpec
from rpmask.tracking.absence import is_absent
from rpmask.tracking.aliases import CHAMPION, model_name
from rpmask.tracking.artifacts import NOT_THERE, bring
from rpmask.tracking.client import undivided
from rpmask.tracking.facts import champion_version
from rpmask.tracking.filters import clause
from rpmask.tracking.manifest import digest_of_file
from rpmask.tracking.runs import StepRun
from rpmask.tracking.tracker import Tracker
from rpmask.train.models import load_classifier
from rpmask.words import percent

MOST_VERSIONS = 2**31 - 1  # a database takes no larger number
FILES = "rpmask.files"  # the version tag that proves what its folder holds
# What serving needs, and no more: torchvision is guessed in by MLflow and breaks a CPU install.
REQUIREMENTS = ("torch", "transformers", "safetensors", "accelerate")


def is_mlflow_address(source: str) -> bool:
    """Whether a model source lives in MLflow."""
    return source.startswith(("models:/", "runs:/"))


def is_logged_model(source: str) -> bool:
    """Whether an address is of a model that a run logged, and not of a registered version."""
    return source.startswith("models:/m-") and "/" not in source.removeprefix("models:/")


def fetch(tracker: Tracker, source: str) -> str:
    """A model source as the core can read it: MLflow addresses become local folders."""
    if not is_mlflow_address(source):
        return source
    try:
        uri = _location(tracker.client, source)
        name = hashlib.sha256(uri.encode()).hexdigest()[:16]
        folder = bring(uri, tracker.folder / "cache" / "models" / name)
    except MlflowException as error:
        if not is_absent(error):
            raise
        raise _no_model(source, error) from error
    except NOT_THERE as error:
        raise _no_model(source, error) from error
    if not folder.exists():
        raise _no_model(source, f"{folder} is gone")
    _check_files(tracker, source, folder)
    return str(folder)


def reads_pairs(folder: Path) -> bool | None:
    """Whether a row of a model that MLflow keeps is two texts or one; None where nothing says so."""
    if not (folder / "MLmodel").is_file():
        return None
    signature = mlflow.models.Model.load(folder).signature
    return None if signature is None else "text_pair" in signature.inputs.input_names()


def _check_files(tracker: Tracker, source: str, folder: Path) -> None:
    """Refuse a registered version whose files are not the ones that were registered."""
    if not source.startswith("models:/") or is_logged_model(source):
        return
    said = _version(tracker.client, source).tags.get(FILES)
    if said is not None and said != _files_digest(folder):
        raise RpmaskError(
            f"The files of the registered model '{source}' are not the ones that were registered.",
            f"{folder} was damaged or swapped; put it back, or train it again with --force.",
        )


def _files_digest(folder: Path) -> str:
    """sha256 over the names and the content of a registered model's weights and configuration."""
    files = sorted((folder / "model").glob("*.safetensors"))
    digests = [(path.name, digest_of_file(path)) for path in (*files, folder / "model/config.json")]
    return digest_of(digests)


def _location(client: mlflow.MlflowClient, source: str) -> str:
    """Where MLflow keeps the files of `models:/NAME@alias`, `models:/NAME/VERSION`, `runs:/ID/PATH`."""
    kind, _, rest = source.partition(":/")
    if kind == "runs":
        run_id, _, path = rest.partition("/")
        return f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{path}"
    if is_logged_model(source):
        return str(client.get_logged_model(rest).artifact_location)
    registered = str(_version(client, source).source)
    return _location(client, registered) if is_mlflow_address(registered) else registered


def _version(client: mlflow.MlflowClient, source: str) -> Any:
    name, at, alias = source.removeprefix("models:/").partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, number = name.partition("/")
    if not number.isdecimal() or int(number) > MOST_VERSIONS:
        raise _no_model(source, f"'{number}' is not the number of a version")
    return client.get_model_version(name, number)


def _no_model(source: str, why: object) -> RpmaskError:
    return RpmaskError(
        f"There is no model '{source}' in the registry: {str(why).splitlines()[0]}",
        "`rpmask select` registers models:/rpmask-TASK@selected, `rpmask finetune` @champion.",
    )


def run_of(tracker: Tracker, source: str) -> str:
    """The run that registered `models:/NAME@alias` or `models:/NAME/VERSION`; a run's id is its own name."""
    if not is_mlflow_address(source):
        return source
    return str(_known_version(tracker, source).run_id)


def check_dense(tracker: Tracker, source: str) -> None:
    """Refuse a registered version that is pruned where a dense model is asked for."""
    if not source.startswith("models:/") or is_logged_model(source):
        return
    version = _known_version(tracker, source)
    sparsity = float(version.tags.get("rpmask.sparsity", 0.0))
    if sparsity > 0:
        trained = version.tags.get("rpmask.step") == "finetune"
        raise RpmaskError(
            f"'{source}' is pruned, to {percent(sparsity)}; --model is a dense one.",
            f"`rpmask sample --from {source}` draws sparser masks inside its own."
            if trained
            else f"`rpmask finetune --from {source}` trains it.",
        )


def _known_version(tracker: Tracker, source: str) -> Any:
    try:
        return _version(tracker.client, source)
    except MlflowException as error:
        if not is_absent(error):
            raise
        raise _no_model(source, error) from error


def champion(tracker: Tracker, task: str) -> Mapping[str, str] | None:
    """Tags of the version that is champion now, if there is one."""
    version = champion_version(tracker, task)
    return None if version is None else dict(version.tags)


def champion_address(tracker: Tracker, task: str) -> dict[str, Any] | None:
    """What `@champion` stands on now; None if nothing was ever promoted."""
    version = champion_version(tracker, task)
    if version is None:
        return None
    return {"name": model_name(task), "version": int(version.version), "alias": CHAMPION}


def pin(tracker: Tracker, source: str) -> str:
    """`models:/NAME@ALIAS` as the version it stands on now: an alias may move while a road is walked."""
    if not source.startswith("models:/") or "@" not in source:
        return source
    version = _known_version(tracker, source)
    return f"models:/{version.name}/{version.version}"


def move_alias(tracker: Tracker, name: str, version: int, alias: str) -> None:
    """Let an alias stand on another version."""
    tracker.client.set_registered_model_alias(name, alias, str(version))


def register(
    step: StepRun,
    model: nn.Module,
    tokenizer: Any,
    task: TaskSpec,
    *,
    tags: Mapping[str, str],
    description: str,
    aliases: tuple[str, ...],
) -> dict[str, Any]:
    """Log the model, register it, read it back, and only then move the aliases to it."""
    client = step.tracker.client
    name = model_name(task.name)
    version = _registered_before(step, name)
    if version is None:
        _forget_unregistered(step)
        logged = _log(step, model, tokenizer, task, description)
        with undivided(step.tracker.uri), hushed():
            version = mlflow.register_model(f"models:/{logged}", name).version
    files = _verify(step.tracker, name, str(version), model, task)
    for key, value in {**tags, "rpmask.run": step.run_id, FILES: files}.items():
        client.set_model_version_tag(name, str(version), key, value)
    client.update_model_version(name, str(version), description)
    for alias in aliases:
        client.set_registered_model_alias(name, alias, str(version))
    return {"name": name, "version": int(version), "alias": aliases[0] if aliases else None}


def _registered_before(step: StepRun, name: str) -> str | None:
    """The version an interrupted attempt of this run had registered."""
    if not step.resumed:
        return None
    query = f"{clause('name', name)} and run_id = '{step.run_id}'"
    versions = step.tracker.client.search_model_versions(query)
    found = [version for version in versions if version.name == name]
    return str(found[0].version) if found else None


def _forget_unregistered(step: StepRun) -> None:
    """Delete what an interrupted attempt of this run had logged, whole or not, and never registered."""
    if not step.resumed:
        return
    client = step.tracker.client
    query = f"source_run_id = '{step.run_id}'"
    for logged in client.search_logged_models([step.tracker.experiment_id], filter_string=query):
        client.delete_logged_model(logged.model_id)
        location = urlsplit(logged.artifact_location)
        if location.scheme in ("", "file"):
            shutil.rmtree(unquote(location.path), ignore_errors=True)


def _log(step: StepRun, model: nn.Module, tokenizer: Any, task: TaskSpec, description: str) -> str:
    image = task.inputs == "image"
    model.to("cpu")
    # MLflow looks for a card and a licence on the hub and warns when there are none.
    lower("mlflow.transformers", logging.ERROR)
    with step.current(), contextlib.redirect_stdout(io.StringIO()):
        info = mlflow.transformers.log_model(
            {"model": model, "image_processor" if image else "tokenizer": tokenizer},
            name="model",
            task=f"{task.inputs}-classification",
            model_card=ModelCard(
                f"---\ntags: [rpmask, pruned]\n---\n# {model_name(task.name)}\n\n{description}\n"
            ),
            signature=_image_signature() if image else _text_signature(task),
            pip_requirements=[
                requirement(package) for package in (*REQUIREMENTS, *(("pillow",) if image else ()))
            ],
            metadata={"rpmask": rpmask.__version__},
        )
    return str(info.model_id)


def _text_signature(task: TaskSpec) -> ModelSignature:
    example = pd.DataFrame({"text": ["The mask was drawn."]})
    if task.pair:
        example["text_pair"] = ["Something was drawn."]
    answer = pd.DataFrame({"label": [task.labels[0] if task.labels else "0"], "score": [0.5]})
    return infer_signature(example, answer)


def _image_signature() -> ModelSignature:
    """MLflow takes an image as base64 text or an address, and answers with a column a class."""
    return infer_signature(pd.DataFrame({"image": ["aW1hZ2U="]}))


def requirement(package: str) -> str:
    """A package at the version that is installed, as pip takes it."""
    from importlib.metadata import version

    return f"{package}=={version(package).partition('+')[0]}"


def _verify(tracker: Tracker, name: str, version: str, model: nn.Module, task: TaskSpec) -> str:
    """Read the registered model back and compare it bit for bit; the digest of the files.

    Read as every step reads it: files keep the names that a model family was published with.
    """
    folder = Path(fetch(tracker, f"models:/{name}/{version}"))
    kept = load_classifier(str(folder), task).state_dict()
    for key, tensor in model.state_dict().items():
        if key not in kept or not torch.equal(kept[key], tensor.cpu()):
            raise RunFailed(
                f"Version {version} of '{name}' does not hold the weights that were registered: "
                f"'{key}' differs.",
                "The artifact store changed or lost a file; run the step again.",
            )
    return _files_digest(folder)
