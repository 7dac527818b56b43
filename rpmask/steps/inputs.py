"""Load what a step works on: a task's splits, tokenised with a model's tokenizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.records import DataChoice
from rpmask.tasks.own_files import OwnFiles
from rpmask.tasks.registry import KNOWN_SPECS, get_spec, known_name, load_task
from rpmask.tasks.spec import TaskData, TaskSpec
from rpmask.train.model_place import locate

if TYPE_CHECKING:
    from rpmask.tracking.tracker import Tracker
    from rpmask.train.batches import Encoded
    from rpmask.train.images import ImageRows


MODEL_FILES = (
    ".safetensors",
    ".bin",
    ".json",
    ".txt",
    ".model",
)  # weights, configurations, vocabularies


def load_data(task: str, choice: DataChoice) -> TaskData:
    """The task's splits as chosen."""
    own = None
    if choice.train is not None:
        own = OwnFiles(
            train=Path(choice.train),
            dev=Path(choice.dev or choice.train),
            text=choice.text,
            text_pair=choice.text_pair,
            label=choice.label,
            kind=choice.kind,
            name=task,
        )
    return load_task(
        task,
        data_dir=Path(choice.data_dir) if choice.data_dir else None,
        own=own,
        seed=choice.split_seed,
        selection_rows=choice.selection_rows,
        train_rows=choice.train_rows,
    )


def spec_of(task: str, choice: DataChoice) -> TaskSpec:
    """The task's description; labels that are only in the data are read from there."""
    in_data = choice.train is not None or known_name(task) not in KNOWN_SPECS
    return load_data(task, choice).spec if in_data else get_spec(task)


@dataclass(frozen=True)
class Prepared:
    """A task's data as the model takes it. Dev stays as it is until the one time it is evaluated.

    The tokenizer of an image model is its image processor. max_length is what the model takes, if that is
    less than what was asked for.
    """

    data: TaskData
    tokenizer: Any
    train: Encoded | ImageRows
    selection: Encoded | ImageRows
    max_length: int

    @property
    def spec(self) -> TaskSpec:
        return self.data.spec

    def dev(self) -> dict[str, Encoded | ImageRows]:
        """The dev splits, tokenised."""
        return {
            name: _encoded(split, self.tokenizer, self.spec, self.max_length)
            for name, split in self.data.dev.items()
        }


def prepare(data: TaskData, choice: DataChoice, tokenizer_source: str) -> Prepared:
    """Tokenise train and selection, or get their images ready."""
    tokenizer = _reader(data.spec, tokenizer_source)
    length = _length(data.spec, choice, tokenizer_source)
    return Prepared(
        data=data,
        tokenizer=tokenizer,
        train=_encoded(data.train, tokenizer, data.spec, length),
        selection=_encoded(data.selection, tokenizer, data.spec, length),
        max_length=length,
    )


def encoded(
    split: Any, spec: TaskSpec, choice: DataChoice, tokenizer_source: str
) -> Encoded | ImageRows:
    """One split alone, where a step needs no more."""
    length = _length(spec, choice, tokenizer_source)
    return _encoded(split, _reader(spec, tokenizer_source), spec, length)


def _reader(spec: TaskSpec, source: str) -> Any:
    if spec.inputs == "image":
        from rpmask.train.models import load_image_processor

        return load_image_processor(source)
    from rpmask.train.models import load_tokenizer

    return load_tokenizer(source)


def _length(spec: TaskSpec, choice: DataChoice, source: str) -> int:
    """How many tokens of a text are read: no more than the model beside the tokenizer takes."""
    if spec.inputs == "image":
        return choice.max_length
    from rpmask.train.models import readable

    return readable(source, choice.max_length)


def _encoded(split: Any, tokenizer: Any, spec: TaskSpec, max_length: int) -> Encoded | ImageRows:
    if spec.inputs == "image":
        from rpmask.train.images import encode_images

        return encode_images(split, tokenizer)
    from rpmask.train.batches import encode

    return encode(split, tokenizer, spec, max_length)


def read_as(data: TaskData, choice: DataChoice) -> dict[str, Any]:
    """What a step's key knows data by: its rows, what they are taken for, and how far they are read."""
    spec = data.spec
    return {
        "rows": data.digests,
        "task": spec.name,
        "kind": spec.kind,
        "labels": spec.labels,
        "max_length": choice.max_length,
    }


def source_digest(tracker: Tracker, source: str) -> str:
    """What a step's key knows a model by: a registered version by its address, a folder by its content.

    Its tokenizer or image processor is part of it.
    """
    from rpmask.tracking.registry import is_mlflow_address

    if is_mlflow_address(source):
        return source
    place = locate(source)
    folders = {Path(part) for part in (place.weights, place.tokenizer, place.processor)}
    files = [path for folder in folders for path in folder.glob("*") if path.suffix in MODEL_FILES]
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(
                f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode()
            )
    return digest.hexdigest()
