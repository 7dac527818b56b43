"""Read CSV, TSV, JSON, JSON lines and Parquet files into tables whose rows know their place in the file.

Every source of text examples becomes a `Table`, so that an error about a value always names the file,
the line or row, and the column. TSV is split at tabs without quoting, as GLUE's files need: with the
usual quoting RTE is silently altered, and MRPC and STS-B cannot be read at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.squad_json import ARTICLES, ID, squad_questions

INCOMPLETE = "Check that the file was written completely."


@dataclass(frozen=True)
class Table:
    """Columns of equal length; row i is at `places[i]`: a line or row number from 1, or a question's id."""

    source: str
    columns: Mapping[str, Sequence[object]]
    places: Sequence[int | str]
    unit: str = "line"

    def column(self, name: str) -> Sequence[object]:
        """The values of one column."""
        if name not in self.columns:
            raise RpmaskError(
                f"{self.source} has no column '{name}'.",
                f"Its columns are: {', '.join(self.columns) or 'none'}. Name those to read with --text, "
                "--text-pair and --label.",
            )
        return self.columns[name]

    def without_blank(self, name: str) -> Table:
        """The rows whose text in a column is not blank."""
        kept = [i for i, text in enumerate(self.column(name)) if str(text).strip()]
        columns = {name: [values[i] for i in kept] for name, values in self.columns.items()}
        return replace(self, columns=columns, places=[self.places[i] for i in kept])

    def error(self, index: int, column: str, problem: str, hint: str) -> RpmaskError:
        """An error that names the file, the line or row, and the column."""
        where = f"{self.source}, {self.unit} {self.places[index]}, column '{column}'"
        return RpmaskError(f"{where}: {problem}.", hint)


def read_table(path: Path) -> Table:
    """Read a file in the format that its ending names."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise RpmaskError(
            f"{path} ends in '{path.suffix}', which is not a format that can be read.",
            f"The formats are {', '.join(READERS)}.",
        )
    return reader(path)


def read_tsv(path: Path, names: tuple[str, ...] | None = None, *, drop_torn: bool = False) -> Table:
    """Read tab-separated text without quoting; `names` are the columns of a file without a header.

    `drop_torn` leaves out rows that a line break inside a field tore into several.
    """
    lines = read_text(path, "\t").split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines[0].endswith("\r"):
        # Only a file with Windows line ends loses its carriage returns; elsewhere they are text.
        lines = [line.removesuffix("\r") for line in lines]
    rows = [line.split("\t") for line in lines]
    places: Sequence[int] = range(1, len(rows) + 1)
    if names is None:
        names, rows, places = tuple(rows[0]), rows[1:], places[1:]
    if drop_torn:
        torn = _torn(rows, len(names))
        places = [place for i, place in enumerate(places) if i not in torn]
        rows = [row for i, row in enumerate(rows) if i not in torn]
    return _from_rows(path, names, rows, places)


def _torn(rows: list[list[str]], width: int) -> set[int]:
    """Indices of successive short rows that are the pieces of one row of full width."""
    torn: set[int] = set()
    pieces: list[int] = []
    fields = 0
    for i, row in enumerate(rows):
        if len(row) >= width:
            pieces = []
            continue
        # The last field of a piece and the first of the next were one field.
        fields = fields + len(row) - 1 if pieces else len(row)
        pieces.append(i)
        if fields == width:
            torn.update(pieces)
            pieces = []
    return torn


def read_csv(path: Path) -> Table:
    """Read comma-separated text with a header; blank lines are skipped."""
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
        raise RpmaskError(f"{path} has no rows.", INCOMPLETE)
    return _from_rows(path, tuple(rows[0]), rows[1:], places[1:])


def read_jsonl(path: Path) -> Table:
    """Read one JSON object per line; blank lines are skipped."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    records = {place: _parse(path, line, place) for place, line in lines if line.strip()}
    return _from_records(path, list(records.values()), list(records), "line")


def read_json(path: Path) -> Table:
    """Read one JSON list of objects, or SQuAD's articles with their questions."""
    records = _parse(path, read_text(path), 1)
    if isinstance(records, dict) and ARTICLES in records:
        questions = list(squad_questions(str(path), records))
        table = _from_records(path, questions, range(len(questions)), "question")
        return replace(table, places=[str(question[ID]) for question in questions])
    if not isinstance(records, list):
        raise RpmaskError(
            f"{path} should hold a list of objects, not {type(records).__name__}.",
            "Write [{...}, {...}], or one object per line in a .jsonl file.",
        )
    return _from_records(path, records, range(1, len(records) + 1), "row")


def read_parquet(path: Path) -> Table:
    """Read a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise no_file(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = file.read().to_pydict()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RpmaskError(
            f"Cannot read {path} as Parquet: {_one_line(error)}.",
            "Check that the file is complete and its text columns are UTF-8.",
        ) from error
    rows = len(next(iter(columns.values()), []))
    return _with_rows(Table(str(path), columns, range(1, rows + 1), "row"))


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
}


def no_file(path: Path) -> RpmaskError:
    """The error for a file that does not exist."""
    beside: list[str] = []
    with suppress(OSError):
        beside = [each.name for each in path.parent.iterdir()]
    near = get_close_matches(path.name, beside, n=1)
    hint = f"Is it {path.with_name(near[0])}?" if near else "Check the path."
    return RpmaskError(f"There is no file {path}.", hint)


def read_text(path: Path, delimiter: str = "") -> str:
    """The whole file as UTF-8 text, without its byte-order mark."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise no_file(path) from None
    except OSError as error:
        raise RpmaskError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error
    if not raw.strip():
        raise RpmaskError(f"{path} is empty.", INCOMPLETE)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object has no byte-order mark, so positions count in it and not in raw.
        before = error.object[: error.start].split(b"\n")
        at = f"{path}, line {len(before)}"
        if delimiter:
            at += f", field {before[-1].count(delimiter.encode()) + 1}"
        raise RpmaskError(
            f"{at}: byte 0x{error.object[error.start]:02x} is not UTF-8.",
            "Save the file as UTF-8.",
        ) from None


def _parse(path: Path, text: str, line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RpmaskError(
            f"{path}, line {line + error.lineno - 1}, character {error.colno}: "
            f"not JSON: {error.msg}.",
            "Correct the line, or write the file again with a JSON library.",
        ) from None
    except (ValueError, RecursionError) as error:
        # Beyond what Python parses: numbers of thousands of digits, brackets nested too deep.
        raise RpmaskError(
            f"{path}, line {line}: {_one_line(error)}.", "Write simple values."
        ) from None


def _from_rows(
    path: Path, names: tuple[str, ...], rows: list[list[str]], places: Sequence[int]
) -> Table:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RpmaskError(
            f"{path} names the column '{repeated[0]}' more than once.",
            "Give every column its own name in the header.",
        )
    for row, place in zip(rows, places, strict=True):
        if len(row) == len(names):
            continue
        where = f"field {len(names) + 1} lies beyond the last column '{names[-1]}'"
        if len(row) < len(names):
            where = f"it ends before column '{names[len(row)]}'"
        raise RpmaskError(
            f"{path}, line {place}: number of fields {len(row)} instead of {len(names)}; {where}.",
            f"A row must have the columns {', '.join(names)}.",
        )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return _with_rows(Table(str(path), columns, places))


def _from_records(path: Path, records: Sequence[object], places: Sequence[int], unit: str) -> Table:
    """Collect the records' keys as columns; a value that a record lacks becomes None."""
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
    return _with_rows(Table(str(path), columns, places, unit))


def _with_rows(table: Table) -> Table:
    if not table.places:
        raise RpmaskError(f"{table.source} has no rows.", INCOMPLETE)
    return table


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
