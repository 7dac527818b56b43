"""Read a user's own CSV, TSV, JSON or Parquet files and find out the task in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import Columns, class_name, number, text_rows
from rpmask.tasks.spec import Kind, TaskRows, TaskSpec
from rpmask.tasks.tables import Table, read_table

KINDS = ("classification", "regression")
MANY_VALUES = 20  # float labels with more distinct values than this are a scale, not classes


@dataclass(frozen=True)
class OwnFiles:
    """A user's two files and the names of their columns; `kind` is found out if it is None."""

    train: Path
    dev: Path
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    kind: str | None = None
    name: str = "own"

    @property
    def columns(self) -> Columns:
        """The columns that hold the example."""
        return Columns(self.text, self.label, self.text_pair)

    @property
    def source(self) -> str:
        """Where the rows come from, as runs record it."""
        return f"files:{self.train},{self.dev}"

    def tables(self) -> tuple[Table, Table]:
        """The train file and the dev file."""
        return read_table(self.train), read_table(self.dev)


def read_own(own: OwnFiles) -> TaskRows:
    """Read the files of a task that is described by its train file."""
    if own.kind is not None and own.kind not in KINDS:
        raise RpmaskError(f"'{own.kind}' is no kind of task.", f"Give {' or '.join(KINDS)}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", own.name):
        raise RpmaskError(
            f"'{own.name}' cannot name a task.",
            "Use letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
    train, dev = own.tables()
    spec = _describe(own, train)
    rows, dev_rows = (text_rows(table, own.columns, spec) for table in (train, dev))
    return TaskRows(spec, rows, {"dev": dev_rows}, own.source)


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
    """Regression if the labels are written as floats and are fractions or many; else classification."""
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
    """Whether a label is written as a whole number of sane length, without point or exponent."""
    return re.fullmatch(r"\s*[+-]?\d{1,18}\s*", str(value)) is not None


def _class_names(own: OwnFiles, train: Table, values: Sequence[object]) -> tuple[str, ...]:
    """The classes in order: whole numbers by value, other names by spelling."""
    names = {name for value in values if (name := class_name(value)) is not None}
    if len(names) == 1:
        raise RpmaskError(
            f"{train.source}: every label in column '{own.label}' is '{names.pop()}'.",
            "A classification needs at least two classes.",
        )
    if own.kind is None and len(names) > max(MANY_VALUES, len(values) // 2):
        raise RpmaskError(
            f"{train.source}: column '{own.label}' has {len(names)} different values in "
            f"{len(values)} rows, too many to be classes.",
            "Name the right column with --label, or give --kind classification or regression.",
        )
    if all(_whole(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
