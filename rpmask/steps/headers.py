"""What the lines of a file or of stdin are, by the name's ending or by the first of them.

JSON begins with a brace. A table begins with a header, which has `text` for one of its columns. A first line
that is a header by all that can be told, and has no such column, is refused: as plain lines, a table would be
answered as if its commas were part of the texts. What can be told of a line:

- names with commas between, all different and without a space anywhere, over a second line that has a comma
  too: texts have a space after their commas;
- names with tabs between, one of them a name that tables use, since two words with a tab are a pair of texts.

A file that ends in .txt has plain lines whatever they look like, unless its header has `text`.
"""

from __future__ import annotations

import re

from rpmask.errors import RpmaskError

TEXT = "text"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON = (".jsonl", ".json")
PLAIN = ".txt"
NAME = re.compile(r"[^\W\d][\w.-]*")
# Columns of published data sets.
USED = {
    *("label", "labels", "target", "class", "category", "score", "gold_label"),
    *("idx", "index", "id", "guid", "pair_id"),
    *(
        "sentence",
        "sentence1",
        "sentence2",
        "premise",
        "hypothesis",
        "question",
        "question1",
        "question2",
    ),
    *("text1", "text2", "text_a", "text_b", "review", "content", "body", "title", "answer"),
}


def kind_of(suffix: str, first: str, second: str, name: str) -> str:
    """The ending that a name of such lines would have; empty for plain ones."""
    if suffix in (*DELIMITERS, *JSON):
        return suffix
    if first.lstrip().startswith("{"):
        return JSON[0]
    for kind, mark in DELIMITERS.items():
        written = [column.strip("\r\n").strip('"') for column in first.split(mark)]
        columns = [column.strip(' "') for column in written]
        if TEXT in written or (TEXT in columns and all(map(NAME.fullmatch, columns))):
            return kind
        if suffix != PLAIN and _is_header(columns, first, mark) and mark in second:
            raise _no_text(columns, name)
    return ""


def _is_header(columns: list[str], line: str, mark: str) -> bool:
    if len(columns) < 2 or len(set(columns)) < len(columns):
        return False
    if mark == "\t":
        return not USED.isdisjoint(column.lower() for column in columns)
    return " " not in line.strip() and all(NAME.fullmatch(column) for column in columns)


def _no_text(columns: list[str], name: str) -> RpmaskError:
    shown = " and ".join(f"'{column}'" for column in columns)
    return RpmaskError(
        f"{name} begins with a header that has {shown} and no '{TEXT}'.",
        f"Call the column of the text '{TEXT}', and of a pair 'text_pair'. If these are plain lines, give "
        f"them as a file that ends in {PLAIN}.",
    )
