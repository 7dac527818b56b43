"""Rows of named columns that remember where each row stands in its file.

Every source of examples (TSV, CSV, JSON, Parquet, the hub) becomes a `Table`, so that whatever is
wrong with a value is reported in one way: file, line or row, column. The two readers of delimited
text are here. TSV is split at tabs with quoting off, as GLUE's files need: with the usual quoting
RTE is silently altered, and MRPC and STS-B cannot be read at all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rpmask.errors import RpmaskError


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `places[i]` is where row i stands, counted in `unit` from 1."""

    source: str
    columns: Mapping[str, Sequence[object]]
    places: Sequence[int]
    unit: str = "line"

    def column(self, name: str) -> Sequence[object]:
        """The values of one column."""
        if name not in self.columns:
            raise RpmaskError(
                f"{self.source} has no column '{name}'.",
                f"Its columns are: {', '.join(self.columns) or 'none'}.",
            )
        return self.columns[name]

    def error(self, index: int, column: str, problem: str, hint: str) -> RpmaskError:
        """An error that names the file, the line or row, and the column."""
        where = f"{self.source}, {self.unit} {self.places[index]}, column '{column}'"
        return RpmaskError(f"{where}: {problem}.", hint)


def read_text(path: Path, delimiter: str = "") -> str:
    """The whole file as UTF-8 text, without its byte-order mark."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RpmaskError(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise RpmaskError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error
    if not raw.strip():
        raise RpmaskError(f"{path} is empty.", "Check that the file was written completely.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object lacks the byte-order mark, so positions are counted in it and not in raw.
        before = error.object[: error.start].split(b"\n")
        at = f"{path}, line {len(before)}"
        if delimiter:
            at += f", field {before[-1].count(delimiter.encode()) + 1}"
        raise RpmaskError(
            f"{at}: byte 0x{error.object[error.start]:02x} is not UTF-8.",
            "Save the file as UTF-8.",
        ) from None


def read_tsv(path: Path, names: tuple[str, ...] | None = None, *, drop_torn: bool = False) -> Table:
    """Read tab-separated text with quoting off; `names` stands in for a header the file lacks.

    `drop_torn` passes over rows that a line break inside a field tore into several.
    """
    lines = read_text(path, "\t").split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines[0].endswith("\r"):
        # Only a file with Windows line ends loses its carriage returns; elsewhere one is text.
        lines = [line.removesuffix("\r") for line in lines]
    rows = [line.split("\t") for line in lines]
    places: Sequence[int] = range(1, len(rows) + 1)
    if names is None:
        names, rows, places = tuple(rows[0]), rows[1:], places[1:]
    if drop_torn:
        torn = _torn(rows, len(names))
        places = [place for i, place in enumerate(places) if i not in torn]
        rows = [row for i, row in enumerate(rows) if i not in torn]
    return _table(path, names, rows, places)


def _torn(rows: list[list[str]], width: int) -> set[int]:
    """Indices of successive short rows that are the pieces of one row of the full width."""
    torn: set[int] = set()
    pieces: list[int] = []
    fields = 0
    for i, row in enumerate(rows):
        if len(row) >= width:
            pieces = []
            continue
        # The last field of a piece and the first of the next were one.
        fields = fields + len(row) - 1 if pieces else len(row)
        pieces.append(i)
        if fields == width:
            torn.update(pieces)
            pieces = []
    return torn


def read_csv(path: Path) -> Table:
    """Read comma-separated text with a header; blank lines are passed over."""
    rows: list[list[str]] = []
    places: list[int] = []
    reader = csv.reader(io.StringIO(read_text(path, ","), newline=""), strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                places.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise RpmaskError(
            f"{path}, line {start}: {error}.",
            'Quote a field that holds a comma or a quote, and double the quotes inside: "a ""b""".',
        ) from None
    if not rows:
        raise RpmaskError(f"{path} has no rows.", "Check that the file was written completely.")
    return _table(path, tuple(rows[0]), rows[1:], places[1:])


def _table(
    path: Path, names: tuple[str, ...], rows: list[list[str]], places: Sequence[int]
) -> Table:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RpmaskError(
            f"{path} names the column '{repeated[0]}' more than once.",
            "Give every column a name of its own in the header.",
        )
    if not rows:
        raise RpmaskError(f"{path} has no rows.", "Check that the file was written completely.")
    for row, place in zip(rows, places, strict=True):
        if len(row) != len(names):
            raise _misfit(path, place, len(row), names)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Table(str(path), columns, places)


def _misfit(path: Path, place: int, found: int, names: tuple[str, ...]) -> RpmaskError:
    if found < len(names):
        where = f"it ends before column '{names[found]}'"
    else:
        where = f"field {len(names) + 1} lies beyond the last column '{names[-1]}'"
    return RpmaskError(
        f"{path}, line {place}: number of fields {found} instead of {len(names)}; {where}.",
        f"A row must have the columns {', '.join(names)}.",
    )
