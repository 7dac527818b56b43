"""Checked examples: from a table's values to text, class indices and numbers.

This is where bad data stops. Nothing after this file meets a missing text, a label that is not one
of the task's, or a number that is not finite.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.tables import Table

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold the example."""

    text: str
    label: str
    text_pair: str | None = None


@dataclass(frozen=True)
class Rows:
    """The examples of one split; `row[i]` is the position in the split they were read from."""

    text: list[str]
    text_pair: list[str] | None
    label: list[int] | list[float]
    row: list[int]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, indices: Sequence[int]) -> Rows:
        """The examples at these indices, in their order."""
        pair = self.text_pair
        return Rows(
            text=[self.text[i] for i in indices],
            text_pair=None if pair is None else [pair[i] for i in indices],
            label=[self.label[i] for i in indices],
            row=[self.row[i] for i in indices],
        )

    def columns(self) -> dict[str, list[Any]]:
        """The columns under the names every split has."""
        columns: dict[str, list[Any]] = {"text": self.text}
        if self.text_pair is not None:
            columns["text_pair"] = self.text_pair
        return {**columns, "label": self.label, "row": self.row}

    def digest(self) -> str:
        """sha256 over the rows in order, each as one line of canonical JSON."""
        columns = self.columns()
        digest = hashlib.sha256()
        for values in zip(*columns.values(), strict=True):
            digest.update(canonical_json(values).encode() + b"\n")
        return digest.hexdigest()

    def to_dataset(self, spec: TaskSpec) -> datasets.Dataset:
        """The same rows as a dataset in memory."""
        import datasets

        kinds = {"text": "string", "text_pair": "string", "row": "int64"}
        kinds["label"] = "int64" if spec.kind == "classification" else "float32"
        columns = self.columns()
        features = datasets.Features({name: datasets.Value(kinds[name]) for name in columns})
        return datasets.Dataset.from_dict(columns, features=features)


def rows_of(
    table: Table,
    columns: Columns,
    spec: TaskSpec,
    *,
    indices: bool = False,
    score_range: tuple[float, float] | None = None,
) -> Rows:
    """Check a table's texts and labels and make examples of them.

    `indices` accepts class indices beside the names of the classes; `score_range` bounds the labels
    of a regression.
    """
    if spec.pair and columns.text_pair is None:
        raise RpmaskError(
            f"Task '{spec.name}' compares two texts, and no column for the second is named.",
            "Name it with --text-pair.",
        )
    if columns.text_pair is not None and not spec.pair:
        raise RpmaskError(
            f"Task '{spec.name}' has one text; a second is named, column '{columns.text_pair}'.",
            "Leave out --text-pair.",
        )
    label: list[int] | list[float]
    if spec.kind == "classification":
        label = _classes(table, columns.label, spec, indices)
    else:
        label = scores(table, columns.label, score_range)
    return Rows(
        text=_texts(table, columns.text),
        text_pair=None if columns.text_pair is None else _texts(table, columns.text_pair),
        label=label,
        row=list(range(len(table.places))),
    )


def _texts(table: Table, column: str) -> list[str]:
    texts: list[str] = []
    for i, value in enumerate(table.column(column)):
        if not isinstance(value, str):
            found = "no value" if value is None else _shown(value)
            raise table.error(i, column, f"{found} where a text was expected", "Write a string.")
        if not encodable(value):
            raise table.error(
                i, column, "half of a surrogate pair, which no text can hold", "Repair the escape."
            )
        texts.append(value)
    return texts


def _classes(table: Table, column: str, spec: TaskSpec, indices: bool) -> list[int]:
    known = {name: i for i, name in enumerate(spec.labels)}
    if indices:
        known |= {str(i): i for i in range(len(spec.labels))}
    expected = f"The labels of '{spec.name}' are {_listing(spec.labels)}"
    if indices:
        expected += f", or their indices 0 to {len(spec.labels) - 1}"
    labels: list[int] = []
    for i, value in enumerate(table.column(column)):
        name = class_name(value)
        if name is None:
            raise table.error(i, column, f"no label ({_shown(value)})", f"{expected}.")
        if name not in known:
            raise table.error(i, column, f"unknown label {_shown(value)}", f"{expected}.")
        labels.append(known[name])
    return labels


def class_name(value: object) -> str | None:
    """The name of the class a label means, or None where there is no label.

    Whole numbers lose their decimal point, because tools that once met a missing value write
    integer classes as floats.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value.strip().lower() not in ("", "nan") and encodable(value):
        return value
    return None


def scores(table: Table, column: str, score_range: tuple[float, float] | None) -> list[float]:
    """The labels of a regression, rounded to the 32 bits that training sees."""
    import numpy as np

    labels: list[float] = []
    for i, value in enumerate(table.column(column)):
        score = number(value)
        if score is None or not math.isfinite(score):
            raise table.error(
                i, column, f"{_shown(value)} is not a finite number", "Write a number."
            )
        if score_range is not None and not score_range[0] <= score <= score_range[1]:
            low, high = score_range
            raise table.error(
                i, column, f"{_shown(value)} is out of range", f"Scores go from {low} to {high}."
            )
        with np.errstate(over="ignore"):
            rounded = float(np.float32(score))
        if not math.isfinite(rounded):
            raise table.error(i, column, f"{_shown(value)} is too large", "Rescale the labels.")
        labels.append(rounded)
    return labels


def number(value: object) -> float | None:
    """A label as a number, or None where it is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def encodable(text: str) -> bool:
    """Whether the text is Unicode; JSON escapes can smuggle in half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
