"""Read the rows of a file or of stdin: JSON lines, CSV or TSV with a header, or plain lines.

The ending of the file's name decides the format, else the first line does. JSON begins with a brace. The
header of a table has a column `text`. A first line that looks like a header without that column is refused,
since a table would be answered as if its commas were part of the texts. A line looks like a header if it is

- names with commas between them, all different and without any space, above a line that has a comma too: in
  texts a space follows a comma;
- names with tabs between them, one of them a usual column name, since two texts with a tab are a pair.

The lines of a file that ends in .txt are plain, unless its header has `text`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rpmask.deploy.exported import Row
from rpmask.errors import RpmaskError
from rpmask.tasks.squad_json import ANSWERS, ARTICLES, CONTEXT, ID, QUESTION, squad_questions

TEXT, PAIR, LABEL = "text", "text_pair", "label"
TOKENS, TAGS = "tokens", "tags"
BOM = "\ufeff"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON = (".jsonl", ".json")
PLAIN = ".txt"
NAME = re.compile(r"[^\W\d][\w.-]*")
# Columns of published data sets.
USUAL = {
    *("label", "labels", "target", "class", "category", "score", "gold_label"),
    *("idx", "index", "id", "guid", "pair_id", "sentence", "sentence1", "sentence2"),
    *("premise", "hypothesis", "question", "question1", "question2", "text1", "text2"),
    *("text_a", "text_b", "review", "content", "body", "title", "answer"),
}


def read_rows(lines: Iterable[str], name: str) -> Iterator[tuple[Row, Any]]:
    """Yield the text, pair, words or question of each row, and its label: None if there is no column for it.

    A plain line is a text, or two texts with a tab between them. A line of JSON may be the whole of SQuAD's.
    """
    numbered = ((number, line.removeprefix(BOM)) for number, line in enumerate(lines, 1))
    head = list(islice((one for one in numbered if one[1].strip()), 1))
    if not head:
        raise RpmaskError(f"{name} has no rows.", "Give one text a line, or JSON lines.")
    head += islice(numbered, 1)
    second = head[-1][1] if head[1:] else ""
    form = _format(Path(name).suffix.lower(), head[0][1], second, name)
    every = chain(head, numbered)
    if form in DELIMITERS:
        yield from _table_rows((line for _, line in every), name, DELIMITERS[form])
        return
    for number, line in every:
        where = f"{name}, line {number}"
        if form in JSON and line.strip():
            yield from _json_rows(line, where)
        elif line.strip():
            yield _plain_row(line, where)


def _format(suffix: str, first: str, second: str, name: str) -> str:
    """Return the ending for lines of this format; empty for plain lines."""
    if suffix in (*DELIMITERS, *JSON):
        return suffix
    if first.lstrip().startswith("{"):
        return JSON[0]
    for ending, mark in DELIMITERS.items():
        written = [column.strip("\r\n").strip('"') for column in first.split(mark)]
        columns = [column.strip(' "') for column in written]
        named = TEXT in columns or {QUESTION, CONTEXT} <= set(columns)
        if TEXT in written or (named and all(map(NAME.fullmatch, columns))):
            return ending
        if suffix != PLAIN and _is_header(columns, first, mark) and mark in second:
            shown = " and ".join(f"'{column}'" for column in columns)
            raise RpmaskError(
                f"{name} begins with a header that has {shown} and no '{TEXT}'.",
                f"Name the text column '{TEXT}', and the second text of a pair '{PAIR}'. If these are "
                f"plain lines, give them as a file that ends in {PLAIN}.",
            )
    return ""


def _is_header(columns: list[str], line: str, mark: str) -> bool:
    if len(columns) < 2 or len(set(columns)) < len(columns):
        return False
    if mark == "\t":
        return not USUAL.isdisjoint(column.lower() for column in columns)
    return " " not in line.strip() and all(NAME.fullmatch(column) for column in columns)


def _plain_row(line: str, where: str) -> tuple[Row, Any]:
    parts = line.rstrip("\r\n").split("\t")
    if len(parts) > 2:
        raise RpmaskError(
            f"{where}: {len(parts)} fields.", "Give a text, or two with a tab between them."
        )
    return ((parts[0], parts[1]) if len(parts) == 2 else parts[0]), None


def _json_rows(line: str, where: str) -> Iterator[tuple[Row, Any]]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RpmaskError(f"{where} is not JSON: {error}.", 'A row is {"text": "..."}.') from error
    if isinstance(raw, dict) and ARTICLES in raw:
        for question in squad_questions(where, raw):
            yield _named_row(question, f"{where}, question {question[ID]}")
    else:
        yield _named_row(raw, where)


def _table_rows(lines: Iterator[str], name: str, delimiter: str) -> Iterator[tuple[Row, Any]]:
    """Read a table; blank lines may be inside a quoted text, so none is skipped before."""
    if delimiter == "\t":
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(lines)
    number = 0
    try:
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        for number, row in enumerate(reader, 1):
            yield _named_row(row, f"{name}, row {number}")
    except csv.Error as error:
        raise RpmaskError(
            f"{name} cannot be read after row {number}: {error}.", "Is a closing quote missing?"
        ) from error
    if not number:
        raise RpmaskError(f"{name} has a header and no rows.", "A row is a line below it.")


def _named_row(raw: Any, where: str) -> tuple[Row, Any]:
    row = raw if isinstance(raw, dict) else {}
    if TOKENS in row and TEXT not in row:
        return _words(row[TOKENS], where), row.get(TAGS)
    if QUESTION in row and CONTEXT in row and TEXT not in row:
        return _question(row, where), row.get(ANSWERS)
    text, pair = row.get(TEXT), row.get(PAIR)
    if not isinstance(text, str) or not isinstance(pair, str | None):
        raise RpmaskError(
            f"{where} has no '{TEXT}' that is a text.",
            f"A row has the column '{TEXT}', and a pair also '{PAIR}'; words to tag are a list '{TOKENS}', "
            f"and a question has '{QUESTION}' and '{CONTEXT}'.",
        )
    return (text if pair is None else (text, pair)), row.get(LABEL)


def _question(row: dict[str, Any], where: str) -> dict[str, str]:
    for name in (QUESTION, CONTEXT):
        if not isinstance(row[name], str) or not row[name].strip():
            raise RpmaskError(
                f"{where}: '{name}' is not a text.", "Write a string, or leave it out."
            )
    return {name: row[name] for name in (ID, QUESTION, CONTEXT) if row.get(name) is not None}


def _words(given: Any, where: str) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given) or not given:
        raise RpmaskError(
            f"{where}: '{TOKENS}' is not a list of words.",
            f'Write a list of strings: {{"{TOKENS}": ["EU", "rejects"]}}.',
        )
    return given
