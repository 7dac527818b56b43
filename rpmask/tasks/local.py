"""A user's own files: CSV, TSV, JSON lines, JSON or Parquet, and the task found in them.

TSV is read with quoting off, as GLUE's files are: a quote is a character like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import Columns, Rows, class_name, number, rows_of
from rpmask.tasks.spec import Kind, TaskSpec
from rpmask.tasks.structured import read_json, read_jsonl, read_parquet
from rpmask.tasks.tables import Table, read_csv, read_tsv

READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
}
KINDS = ("classification", "regression")
MANY_VALUES = 20  # float labels with more distinct values than this are a scale, not classes


@dataclass(frozen=True)
class OwnFiles:
    """Two files of the user's and the names of their columns; `kind` is found when not given."""

    train: Path
    dev: Path
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    kind: str | None = None
    name: str = "own"


def read_own(own: OwnFiles) -> tuple[TaskSpec, Rows, dict[str, Rows]]:
    """The task the train file describes, its train rows and its dev rows."""
    if own.kind is not None and own.kind not in KINDS:
        raise RpmaskError(f"'{own.kind}' is no kind of task.", f"Give {' or '.join(KINDS)}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", own.name):
        raise RpmaskError(
            f"'{own.name}' cannot name a task.",
            "Use letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
    train, dev = _open(own.train), _open(own.dev)
    spec = _describe(own, train)
    columns = Columns(own.text, own.label, own.text_pair)
    return spec, rows_of(train, columns, spec), {"dev": rows_of(dev, columns, spec)}


def read_own_as(
    own: OwnFiles, rows: Callable[[Table, Columns], Rows]
) -> tuple[Rows, dict[str, Rows]]:
    """Train and dev rows of the user's files, checked as rows of a task that is known already."""
    columns = Columns(own.text, own.label, own.text_pair)
    return rows(_open(own.train), columns), {"dev": rows(_open(own.dev), columns)}


def _open(path: Path) -> Table:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise RpmaskError(
            f"{path} ends in '{path.suffix}', which is not a format that can be read.",
            f"The formats are {', '.join(READERS)}.",
        )
    return reader(path)


def _describe(own: OwnFiles, train: Table) -> TaskSpec:
    values = train.column(own.label)
    for i, value in enumerate(values):
        if class_name(value) is None:
            raise train.error(
                i, own.label, f"no label ({value!r})", "Give every row a label or leave it out."
            )
    kind = cast(Kind, own.kind or _kind(values))
    labels = () if kind == "regression" else _class_names(own, train, values)
    metrics: tuple[str, ...] = ("accuracy", "matthews_correlation")
    if kind == "regression":
        metrics = ("pearson", "spearmanr", "combined")
    elif len(labels) == 2:
        metrics = ("accuracy", "f1", "matthews_correlation")
    return TaskSpec(
        name=own.name,
        title=f"{kind} of the texts in {own.train.name}",
        kind=kind,
        labels=labels,
        pair=own.text_pair is not None,
        metrics=metrics,
        primary="combined" if kind == "regression" else "accuracy",
    )


def _kind(values: Sequence[object]) -> Kind:
    """Regression where the labels are written as floats and are fractions or many; else classes."""
    numbers: set[float] = set()
    floats = False
    for value in values:
        score = number(value)
        if score is None:
            return "classification"
        numbers.add(score)
        floats = floats or isinstance(value, float) or not _whole(value)
    fractions = not all(score.is_integer() for score in numbers)
    scale = floats and (fractions or len(numbers) > MANY_VALUES)
    return "regression" if scale else "classification"


def _whole(value: object) -> bool:
    """Whether the label is written as a whole number of sane length, with no point or exponent."""
    return re.fullmatch(r"\s*[+-]?\d{1,18}\s*", str(value)) is not None


def _class_names(own: OwnFiles, train: Table, values: Sequence[object]) -> tuple[str, ...]:
    """The classes in order: whole numbers by value, other names by spelling."""
    names = {name for value in values if (name := class_name(value)) is not None}
    if len(names) == 1:
        raise RpmaskError(
            f"{train.source}: every label in column '{own.label}' is '{names.pop()}'.",
            "There must be two classes at least to tell apart.",
        )
    if own.kind is None and len(names) > max(MANY_VALUES, len(values) // 2):
        raise RpmaskError(
            f"{train.source}: column '{own.label}' has {len(names)} different values in "
            f"{len(values)} rows, too many to be classes.",
            "Name the right column with --label, or say --kind classification or regression.",
        )
    if all(_whole(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
