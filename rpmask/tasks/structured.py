"""Readers of JSON lines, JSON and Parquet files into tables.

A value that a record leaves out becomes None, which is refused later only where the column is one
the task uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.tables import Table, read_text


def read_jsonl(path: Path) -> Table:
    """Read one JSON object a line; blank lines are passed over."""
    records: list[object] = []
    places: list[int] = []
    for place, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            records.append(_parse(path, line, place))
            places.append(place)
    return _table(path, records, places, "line")


def read_json(path: Path) -> Table:
    """Read one JSON list of objects."""
    records = _parse(path, read_text(path), 1)
    if not isinstance(records, list):
        raise RpmaskError(
            f"{path} should hold a list of objects, not {type(records).__name__}.",
            "Write [{...}, {...}], or one object a line in a .jsonl file.",
        )
    return _table(path, records, range(1, len(records) + 1), "row")


def read_parquet(path: Path) -> Table:
    """Read a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise RpmaskError(f"There is no file {path}.", "Check the path.")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = file.read().to_pydict()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RpmaskError(
            f"Cannot read {path} as Parquet: {_one_line(error)}.",
            "Check that the file is whole and its text columns are UTF-8.",
        ) from error
    rows = len(next(iter(columns.values()), []))
    return _checked(Table(str(path), columns, range(1, rows + 1), "row"))


def _parse(path: Path, text: str, line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RpmaskError(
            f"{path}, line {line + error.lineno - 1}, character {error.colno}: "
            f"not JSON: {error.msg}.",
            "Correct the line, or write the file anew with a JSON library.",
        ) from None
    except (ValueError, RecursionError) as error:
        # Beyond what Python parses: numbers of thousands of digits, brackets nested too deep.
        raise RpmaskError(
            f"{path}, line {line}: {_one_line(error)}.", "Write simple values."
        ) from None


def _table(path: Path, records: list[object], places: Sequence[int], unit: str) -> Table:
    names: dict[str, None] = {}
    rows: list[dict[str, object]] = []
    for record, place in zip(records, places, strict=True):
        if not isinstance(record, dict):
            raise RpmaskError(
                f"{path}, {unit} {place}: an object was expected, not {type(record).__name__}.",
                'A row looks like {"text": "...", "label": "..."}.',
            )
        names.update(dict.fromkeys(record))
        rows.append(record)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return _checked(Table(str(path), columns, places, unit))


def _checked(table: Table) -> Table:
    if not table.places:
        raise RpmaskError(
            f"{table.source} has no rows.", "Check that the file was written completely."
        )
    return table


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
