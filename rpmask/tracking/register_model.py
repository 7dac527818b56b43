"""Register a model: write it as an MLflow model, log it, read it back, and only then move aliases to it."""

from __future__ import annotations

import json
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import add_to_model
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

import rpmask
from rpmask.errors import RunFailed
from rpmask.heads.head import Column
from rpmask.heads.registry import head_of
from rpmask.logs import hushed
from rpmask.tasks.spec import TaskSpec
from rpmask.tracking import answering
from rpmask.tracking.datasets import logged_datasets, split_of
from rpmask.tracking.filters import clause
from rpmask.tracking.monitoring import SYSTEM
from rpmask.tracking.package_code import copy_code
from rpmask.tracking.registry import FILES, fetch, files_digest, model_name
from rpmask.tracking.runs import StepRun
from rpmask.tracking.signals import signals_deferred

# What serving needs, and no more. MLflow would add torchvision, which breaks a CPU install.
REQUIREMENTS = ("mlflow", "torch", "transformers", "safetensors", "accelerate")
FORBIDDEN = "/:.%\"'"  # in the name of a logged model
CODE = "code"  # the folder of this package inside a model
TOKENIZER, PROCESSOR = ("tokenizer", "AutoTokenizer"), ("image_processor", "AutoImageProcessor")

# Writes the weights with their configuration to one folder, the tokenizer or image processor to another.
Writer = Callable[[Path, Path], None]


def writer_of(model: Any, reader: Any) -> Writer:
    """A writer for a model in memory and its tokenizer or image processor."""

    def write(weights: Path, components: Path) -> None:
        model.to("cpu").save_pretrained(weights)
        reader.save_pretrained(components)

    return write


def register(
    run: StepRun,
    write: Writer,
    task: TaskSpec,
    *,
    max_length: int,
    tags: Mapping[str, str],
    description: str,
    aliases: tuple[str, ...],
) -> dict[str, Any]:
    """Log and register the model, compare what the store holds with what was written, move the aliases.

    max_length is that of the texts it was trained on.
    """
    client = run.tracker.client
    name = model_name(task.name)
    version = _registered_before(run, name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write(folder / "model", folder / "components" / reader_of(task)[0])
        files = files_digest(folder)
        if version is None:
            _delete_unregistered(run)
            logged = _log(run, folder, task, description, max_length)
            with signals_deferred(run.tracker.uri), hushed():
                version = mlflow.register_model(f"models:/{logged}", name).version
    if files_digest(Path(fetch(run.tracker, f"models:/{name}/{version}"))) != files:
        raise RunFailed(
            f"Version {version} of '{name}' does not hold the files that were written.",
            "The artifact store changed or lost a file; run the step again.",
        )
    for key, value in {**tags, "rpmask.run": run.run_id, FILES: files}.items():
        client.set_model_version_tag(name, str(version), key, value)
    client.update_model_version(name, str(version), description)
    for alias in aliases:
        client.set_registered_model_alias(name, alias, str(version))
    return {"name": name, "version": int(version), "alias": aliases[0] if aliases else None}


def _registered_before(run: StepRun, name: str) -> str | None:
    """The version that an interrupted attempt of this run registered."""
    if not run.resumed:
        return None
    query = f"{clause('name', name)} and run_id = '{run.run_id}'"
    versions = run.tracker.client.search_model_versions(query)
    found = [version for version in versions if version.name == name]
    return str(found[0].version) if found else None


def _delete_unregistered(run: StepRun) -> None:
    """Delete models that an interrupted attempt of this run logged, even in part, but did not register."""
    if not run.resumed:
        return
    client = run.tracker.client
    query = f"source_run_id = '{run.run_id}'"
    for logged in client.search_logged_models([run.tracker.experiment_id], filter_string=query):
        client.delete_logged_model(logged.model_id)
        location = urlsplit(logged.artifact_location)
        if location.scheme in ("", "file"):
            shutil.rmtree(unquote(location.path), ignore_errors=True)


def _log(run: StepRun, folder: Path, task: TaskSpec, description: str, max_length: int) -> str:
    """Log the folder as a model of this run; the model's id.

    `mlflow.transformers.log_model` writes the same files, but imports transformers and builds a pipeline.
    """
    run.flush()  # the model is given the metrics that the run has by now
    tracker, run_id = run.tracker, run.run_id
    client = tracker.client
    stored = client.get_run(run_id)
    data, datasets = stored.data, logged_datasets(stored)
    logged = client.create_logged_model(
        tracker.experiment_id, name=_name(run.step.title), source_run_id=run_id, params=data.params
    )
    model_id: str = logged.model_id
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    names = [name for name in data.metrics if not name.startswith(SYSTEM)]
    histories = [client.get_metric_history(run_id, name) for name in names]
    points = [point for history in histories for point in history if point.step == 0]
    client.log_batch(run_id, metrics=[_of_model(point, model_id, datasets) for point in points])
    described = Model(
        artifact_path=logged.artifact_location,
        model_uuid=model_id,
        model_id=model_id,
        run_id=run_id,
        metadata={"rpmask": rpmask.__version__},
    )
    _add_mlflow_files(folder, described, task, description, max_length)
    client.log_model_artifacts(model_id, str(folder))
    client.finalize_logged_model(model_id, "READY")
    return model_id


def _name(title: str) -> str:
    """The run's name as a logged model's, which tells models apart where the UI compares them."""
    return re.sub(f"[{FORBIDDEN}]", "_", title.replace("%", ""))


def _of_model(point: Metric, model_id: str, datasets: Mapping[str, tuple[str, str]]) -> Metric:
    """A run's metric as the model's, with the dataset that it was measured on."""
    split = split_of(point.key, datasets)
    name, digest = datasets.get(split or "", (None, None))
    return Metric(point.key, point.value, point.timestamp, 0, model_id, name, digest, point.run_id)


def _add_mlflow_files(
    folder: Path, model: Model, task: TaskSpec, description: str, max_length: int
) -> None:
    """Write the files that make a folder of weights and tokenizer an MLflow model.

    It has the flavour `transformers`, or, where transformers has no pipeline, the code of this package.
    """
    head = head_of(task)
    packages = (*REQUIREMENTS, *head.inputs.packages)
    environment = write_environment(folder, packages)
    (folder / "model_card.md").write_text(
        f"---\ntags: [rpmask, pruned]\n---\n# {model_name(task.name)}\n\n{description}\n",
        encoding="utf-8",
    )
    model.signature = signature(
        head.inputs.pipeline_columns(task.pair), head.inputs.pipeline_answers
    )
    if head.inputs.pipeline:
        _add_pipeline(folder, model, task, environment)
    else:
        copy_code(folder / CODE)
        config = {answering.MAX_LENGTH: max_length}
        add_to_model(model, answering.__name__, code=CODE, env=environment, model_config=config)
    files = [file for file in folder.rglob("*") if file.is_file()]
    model.model_size_bytes = sum(file.stat().st_size for file in files)
    model.save(str(folder / "MLmodel"))


def _add_pipeline(folder: Path, model: Model, task: TaskSpec, environment: dict[str, str]) -> None:
    head, (reader, reader_type) = head_of(task), reader_of(task)
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    model.add_flavor(
        "transformers",
        transformers_version=version_of("transformers"),
        code=None,
        task=head.inputs.pipeline_task,
        instance_type=head.inputs.pipeline,
        pipeline_model_type=config["architectures"][0],
        source_model_name=model_name(task.name),
        model_binary="model",
        torch_dtype="torch.float32",
        components=[reader],
        **{f"{reader}_type": reader_type},
    )
    add_to_model(model, loader_module="mlflow.transformers", env=environment)


def write_environment(folder: Path, packages: Sequence[str]) -> dict[str, str]:
    """Write the environment for serving a model, for pip and conda; return the file names by kind."""
    pinned = [requirement(package) for package in packages]
    python = platform.python_version()
    conda = [
        "name: mlflow-env",
        "channels:",
        "- conda-forge",
        "dependencies:",
        f"- python={python}",
    ]
    virtualenv = [f"python: {python}", "build_dependencies:", "- pip", "- setuptools", "- wheel"]
    lines = {
        "requirements.txt": pinned,
        "conda.yaml": [*conda, "- pip", "- pip:", *(f"  - {package}" for package in pinned)],
        "python_env.yaml": [*virtualenv, "dependencies:", "- -r requirements.txt"],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")
    return {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}


def requirement(package: str) -> str:
    """An installed package with its version, as pip reads it, without a build tag such as +cpu."""
    return f"{package}=={version_of(package).partition('+')[0]}"


def reader_of(task: TaskSpec) -> tuple[str, str]:
    """What reads the inputs: the name of its folder, and of its class in transformers."""
    return TOKENIZER if head_of(task).inputs.are_text else PROCESSOR


def signature(inputs: Sequence[Column], outputs: Sequence[Column]) -> ModelSignature:
    """The columns that a served model reads, and those it answers if they are known."""
    return ModelSignature(inputs=_schema(inputs), outputs=_schema(outputs) if outputs else None)


def _schema(columns: Sequence[Column]) -> Schema:
    return Schema([ColSpec(Array(DataType[c.type]) if c.many else c.type, c.name) for c in columns])
