"""Check a table's texts and labels and make them a split of a text task.

Bad data stops here: no later code sees a missing text, a label that the task does not have, or a
number that is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
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


def text_rows(
    table: Table,
    columns: Columns,
    spec: TaskSpec,
    *,
    indices: bool = False,
    score_range: tuple[float, float] | None = None,
) -> datasets.Dataset:
    """Check a table's values; return them as `text`, `text_pair` (pairs only), `label` and `row`.

    With `indices`, a label may be a class index instead of a class name. `score_range` bounds the
    labels of a regression.
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
    if spec.labels:
        label = _classes(table, columns.label, spec, indices)
    else:
        label = _scores(table, columns.label, score_range)
    values: dict[str, list[str] | list[int] | list[float]]
    values = {"text": texts(table, columns.text)}
    if columns.text_pair is not None:
        values["text_pair"] = texts(table, columns.text_pair)
    values |= {"label": label, "row": list(range(len(label)))}
    import datasets

    types = {"text": "string", "text_pair": "string", "row": "int64"}
    types["label"] = "int64" if spec.labels else "float32"
    features = datasets.Features({name: datasets.Value(types[name]) for name in values})
    return datasets.Dataset.from_dict(values, features=features)


def texts(table: Table, column: str) -> list[str]:
    """The texts of a column."""
    found: list[str] = []
    for i, value in enumerate(table.column(column)):
        if not isinstance(value, str):
            given = "no value" if value is None else shown(value)
            raise table.error(i, column, f"{given} where a text was expected", "Write a string.")
        if not _encodable(value):
            raise table.error(
                i, column, "half of a surrogate pair, which no text can hold", "Repair the escape."
            )
        found.append(value)
    return found


def document_numbers(names: Sequence[object]) -> list[int]:
    """A number for each row's document, by the name of the document."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(map(str, names)))}
    return [numbers[str(name)] for name in names]


def _classes(table: Table, column: str, spec: TaskSpec, indices: bool) -> list[int]:
    known = {name: i for i, name in enumerate(spec.labels)}
    if indices:
        known |= {str(i): i for i in range(len(spec.labels))}
    expected = f"The labels of '{spec.name}' are {listed(spec.labels)}"
    if indices:
        expected += f", or their indices 0 to {len(spec.labels) - 1}"
    labels: list[int] = []
    for i, value in enumerate(table.column(column)):
        name = class_name(value)
        if name is None:
            raise table.error(i, column, f"no label ({shown(value)})", f"{expected}.")
        if name not in known:
            raise table.error(i, column, f"unknown label {shown(value)}", f"{expected}.")
        labels.append(known[name])
    return labels


def class_name(value: object) -> str | None:
    """The class name that a label means; None if the label is missing.

    A whole float loses its decimal point: tools that met a missing value write integer classes as
    floats.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value.strip().lower() not in ("", "nan") and _encodable(value):
        return value
    return None


def _scores(table: Table, column: str, score_range: tuple[float, float] | None) -> list[float]:
    """The labels of a regression, rounded to the 32 bits that training uses."""
    import numpy as np

    low, high = score_range or (-math.inf, math.inf)
    labels: list[float] = []
    for i, value in enumerate(table.column(column)):
        score = number(value)
        if score is None or not math.isfinite(score):
            raise table.error(
                i, column, f"{shown(value)} is not a finite number", "Write a number."
            )
        if not low <= score <= high:
            raise table.error(
                i, column, f"{shown(value)} is out of range", f"Scores go from {low} to {high}."
            )
        with np.errstate(over="ignore"):
            rounded = float(np.float32(score))
        if not math.isfinite(rounded):
            raise table.error(i, column, f"{shown(value)} is too large", "Rescale the labels.")
        labels.append(rounded)
    return labels


def number(value: object) -> float | None:
    """A label as a number; None if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _encodable(text: str) -> bool:
    """Whether the text is Unicode: a JSON escape can write half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(names: Sequence[str]) -> str:
    """Names in a message, the first ten of many."""
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
