"""Load what a step works on: the splits of a task, encoded with a model's tokenizer or image processor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.heads.registry import head_of
from rpmask.records import DataChoice
from rpmask.steps.frame import changed
from rpmask.tasks.hub_table import is_on_hub
from rpmask.tasks.registry import KNOWN_SPECS, get_spec, known_name
from rpmask.tasks.registry import load_task as load_data
from rpmask.tasks.spec import TaskData, TaskSpec
from rpmask.tracking.manifest import digest_of_file
from rpmask.train.model_place import locate

if TYPE_CHECKING:
    from rpmask.heads.splits import Split
    from rpmask.tracking.runs import StepRun
    from rpmask.tracking.tracker import Tracker

# Weights, configurations and vocabularies.
MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model")


def spec_of(task: str, choice: DataChoice) -> TaskSpec:
    """Return the description of a task; labels that only the data knows are read from the data."""
    in_data = choice.train is not None or known_name(task) not in KNOWN_SPECS
    return load_data(task, choice).spec if in_data else get_spec(task)


@dataclass(frozen=True)
class Encoder:
    """Encode rows for a model, with its tokenizer or, for images, its image processor."""

    spec: TaskSpec
    tokenizer: Any
    max_length: int  # tokens of a text: at most what the model accepts

    def __call__(self, rows: Any) -> Split:
        inputs = head_of(self.spec).inputs
        return inputs.encode(rows, self.tokenizer, self.spec, self.max_length)


def encoder_of(model: str, spec: TaskSpec, choice: DataChoice) -> Encoder:
    """Return the encoder of the model in a folder."""
    from rpmask.train.models import readable, reader_of

    head = head_of(spec)
    longest = readable(model, choice.max_length) if head.inputs.are_text else choice.max_length
    return Encoder(spec, reader_of(model, head), longest)


@dataclass(frozen=True)
class Prepared:
    """The encoded data of a task. Dev is encoded only when it is evaluated."""

    data: TaskData
    encoder: Encoder
    train: Split
    selection: Split

    @property
    def spec(self) -> TaskSpec:
        return self.data.spec

    @property
    def tokenizer(self) -> Any:
        return self.encoder.tokenizer

    @property
    def train_rows(self) -> str:
        """The training rows, for a message."""
        rows, windows = len(self.train.labels), len(self.train)
        return f"{rows:,} rows" + (f" in {windows:,} windows" if windows > rows else "")

    def dev(self) -> dict[str, Split]:
        """Encode the dev splits."""
        return {name: self.encoder(split) for name, split in self.data.dev.items()}


def prepare(data: TaskData, choice: DataChoice, model: str) -> Prepared:
    """Encode the train and selection splits."""
    encoder = encoder_of(model, data.spec, choice)
    return Prepared(data, encoder, encoder(data.train), encoder(data.selection))


def read_as(data: TaskData, choice: DataChoice) -> dict[str, Any]:
    """Return what identifies data in a step's key: the rows, their interpretation and their length."""
    spec = data.spec
    return {
        "rows": data.digests,
        "task": spec.name,
        "kind": spec.kind,
        "labels": spec.labels,
        "max_length": choice.max_length,
    }


def source_digest(tracker: Tracker, source: str) -> str:
    """Return what identifies a model in a step's key: an MLflow address, or a digest of the folder's files.

    The tokenizer or image processor is part of the digest.
    """
    from rpmask.tracking.registry import is_mlflow_address

    if is_mlflow_address(source):
        return source
    place = locate(source)
    folders = {Path(part) for part in (place.weights, place.tokenizer, place.processor)}
    files = [path for folder in folders for path in folder.glob("*") if path.suffix in MODEL_FILES]
    text = "".join(f"{path.name}:{digest_of_file(path)};" for path in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()


def data_params(data: DataChoice) -> dict[str, Any]:
    """Return the data options to show as parameters: those that differ from the default.

    data_dir is left out, since the location of the data changes no result.
    """
    return changed(data, *(spec.name for spec in fields(data) if spec.name != "data_dir"))


def log_data(run: StepRun, data: TaskData, choice: DataChoice) -> None:
    """Log the splits of a task as the datasets of a run, so that they can be read from any folder."""
    from rpmask.tracking.datasets import log_datasets

    kind, _, folder = data.source.partition(":")
    places = {"train": choice.train, "dev": choice.dev, "data_dir": choice.data_dir}
    if kind == "folder":  # which RPMASK_GLUE_DIR may have named
        places["data_dir"] = folder
    absolute: dict[str, Any] = {
        name: place if is_on_hub(place) else str(Path(place).resolve())
        for name, place in places.items()
        if place
    }
    splits = {"train": data.train, "selection": data.selection, **data.dev}
    choice = replace(choice, **absolute)
    log_datasets(run, data.spec.name, data.source, choice, splits, data.digests)
