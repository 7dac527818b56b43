"""`predict`: rows in, one JSON line out for each, in their order and as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rpmask.deploy.exported import BATCH_SIZE, Row
from rpmask.deploy.load import load
from rpmask.deploy.manifest import Manifest
from rpmask.errors import RpmaskError
from rpmask.steps.context import Context
from rpmask.steps.headers import DELIMITERS, JSON, TEXT, kind_of
from rpmask.steps.labelled import Labelled
from rpmask.steps.registered import read_length, read_task

PAIR, LABEL = "text_pair", "label"
BOM = "\ufeff"


def predict(
    source: str,
    lines: Iterable[str],
    name: str,
    context: Context,
    batch_size: int = BATCH_SIZE,
    summarise: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Answers of an export, a model folder or a registered model to the lines of a file or of stdin.

    Where rows have a label, `summarise` is given the metrics in a line once all are answered.
    """
    from rpmask.tracking.registry import fetch, is_mlflow_address, reads_pairs

    if is_mlflow_address(source):
        context.require_store()
    folder = Path(fetch(context.tracker, source) if is_mlflow_address(source) else source)
    length = read_length(source, context) or Manifest.max_length
    model = load(folder, max_length=length, pair=reads_pairs(folder))
    rows = read_labelled(lines, name)
    fares = Labelled(model.manifest, model.manifest.task or read_task(source, context))
    while batch := list(islice(rows, batch_size)):
        answers = model.predict([row for row, _ in batch], batch_size)
        for (_, label), answer in zip(batch, answers, strict=True):
            fares.add(label, answer)
            yield answer
    if summarise is not None and (said := fares.summary()):
        summarise(said)


def read_rows(lines: Iterable[str], name: str) -> Iterator[Row]:
    """The rows alone, whatever labels they have."""
    return (row for row, _ in read_labelled(lines, name))


def read_labelled(lines: Iterable[str], name: str) -> Iterator[tuple[Row, Any]]:
    """Texts or pairs of JSON lines, of CSV or TSV with a header, or plain lines; with what is in `label`.

    A name's ending says which; else, as of stdin, the first line does (headers.py). A plain line is a text,
    or two with a tab between them.
    """
    numbered = ((number, line.removeprefix(BOM)) for number, line in enumerate(lines, 1))
    head = list(islice((one for one in numbered if one[1].strip()), 1))
    if not head:
        raise RpmaskError(f"{name} has no rows.", "Give one text a line, or JSON lines.")
    head += islice(numbered, 1)
    kind = kind_of(Path(name).suffix.lower(), head[0][1], head[-1][1] if head[1:] else "", name)
    every = chain(head, numbered)
    if kind in DELIMITERS:
        yield from _table_rows(every, name, DELIMITERS[kind])
        return
    row = _json_row if kind in JSON else _plain_row
    for number, line in every:
        if line.strip():
            yield row(line, f"{name}, line {number}")


def _plain_row(line: str, where: str) -> tuple[Row, Any]:
    parts = line.rstrip("\r\n").split("\t")
    if len(parts) > 2:
        raise RpmaskError(
            f"{where}: {len(parts)} fields.", "Give a text, or two and a tab between."
        )
    return ((parts[0], parts[1]) if len(parts) == 2 else parts[0]), None


def _json_row(line: str, where: str) -> tuple[Row, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RpmaskError(f"{where} is not JSON: {error}.", 'A row is {"text": "..."}.') from error
    return _named_row(raw, where)


def _table_rows(
    lines: Iterable[tuple[int, str]], name: str, delimiter: str
) -> Iterator[tuple[Row, Any]]:
    plain = (line for _, line in lines)  # blank ones too, which may be inside a quoted text
    if delimiter == "\t":
        reader = csv.DictReader(plain, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(plain)
    number = 0
    try:
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        for number, row in enumerate(reader, 1):
            yield _named_row(row, f"{name}, row {number}")
    except csv.Error as error:
        raise RpmaskError(
            f"{name} cannot be read after row {number}: {error}.",
            "Is a quote missing its other one?",
        ) from error
    if not number:
        raise RpmaskError(f"{name} has a header and no rows.", "A row is a line below it.")


def _named_row(raw: Any, where: str) -> tuple[Row, Any]:
    text = raw.get(TEXT) if isinstance(raw, dict) else None
    pair = raw.get(PAIR) if isinstance(raw, dict) else None
    if not isinstance(text, str) or not isinstance(pair, str | None):
        raise RpmaskError(
            f"{where} has no '{TEXT}' that is a text.",
            f"A row has the column '{TEXT}', and of a pair '{PAIR}'.",
        )
    return (text if pair is None else (text, pair)), raw.get(LABEL)
