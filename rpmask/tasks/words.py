"""Rows of words with a tag each: CoNLL's columns, and tables with a list of words and a list of tags.

Bad data stops here: no later code sees a row without words, a tag that the task does not have, or a row with
more words than tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import document_numbers, listed, shown
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.tables import Table, read_text

if TYPE_CHECKING:
    import datasets

KIND = "tokens"
EXAMPLE = '{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}'
TOKENS, TAGS, DOCUMENT = "tokens", "tags", "document"
LINES = "lines"  # of the words of a row, where each has its own
DOCSTART = "-DOCSTART-"
COLUMN_FILES = (".conll", ".bio", ".iob", ".iob2", ".txt")
TRAIN_FILES, DEV_FILES = ("train.txt", "eng.train"), ("dev.txt", "valid.txt", "eng.testa")
ENTITY_METRICS = ("entity_f1", "entity_precision", "entity_recall", "accuracy")

CONLL2003 = TaskSpec(
    name="conll2003",
    title="CoNLL-2003 (English): which words name a person, an organisation, a place or another thing?",
    kind=KIND,
    labels=(
        *("O", "B-PER", "I-PER", "B-ORG", "I-ORG"),
        *("B-LOC", "I-LOC", "B-MISC", "I-MISC"),
    ),
    pair=False,
    metrics=ENTITY_METRICS,
    primary=ENTITY_METRICS[0],
)


def mark_entities(labels: Sequence[str]) -> bool:
    """Whether tags mark entities, and are not, for example, parts of speech."""
    names = [label for label in labels if label != "O"]
    return bool(names) and all(name[:2] in ("B-", "I-", "E-", "S-") for name in names)


def read_columns(path: Path) -> Table:
    """Read CoNLL's columns: a word a line, first its text, last its tag; a blank line ends a sentence.

    A line -DOCSTART- begins a document. Row i of the table is at the line of its first word.
    """
    words: list[list[str]] = []
    tags: list[list[str]] = []
    lines: list[list[int]] = []
    documents: list[int] = []
    document, opened, inside = 0, 0, False
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        parts = line.split()
        if not parts:
            inside = False
        elif parts[0] == DOCSTART:
            _check_document(path, opened, documents, document)
            document, opened, inside = document + 1, number, False
        elif len(parts) < 2:
            raise RpmaskError(
                f"{path}, line {number}: the word '{parts[0]}' has no tag.",
                "A line has a word first and its tag last, with spaces or tabs between them.",
            )
        else:
            if not inside:
                words.append([])
                tags.append([])
                lines.append([])
                documents.append(document)
                inside = True
            words[-1].append(parts[0])
            tags[-1].append(parts[-1])
            lines[-1].append(number)
    _check_document(path, opened, documents, document)
    if not words:
        raise RpmaskError(f"{path} has no words.", "Check that the file was written completely.")
    columns: dict[str, Sequence[object]] = {TOKENS: words, TAGS: tags, LINES: lines}
    if document:
        columns[DOCUMENT] = documents
    return Table(str(path), columns, [numbers[0] for numbers in lines])


def _check_document(path: Path, opened: int, documents: Sequence[int], document: int) -> None:
    if opened and (not documents or documents[-1] != document):
        raise RpmaskError(
            f"{path}, line {opened}: the document that begins here has no words.",
            f"Remove its {DOCSTART} line.",
        )


def tags_of(table: Table, column: str = TAGS) -> tuple[str, ...]:
    """The tags of a table, `O` first, the others by spelling."""
    found: set[str] = set()
    for i, row in enumerate(table.column(column)):
        found.update(_checked_tags(table, column, i, row))
    return tuple(sorted(found, key=lambda tag: (tag != "O", tag)))


def word_rows(
    table: Table, spec: TaskSpec, *, words: str = TOKENS, tags: str = TAGS
) -> datasets.Dataset:
    """Check a table's words and tags; return them as `tokens`, `tags`, `document` and `row`."""
    import datasets

    known = {tag: i for i, tag in enumerate(spec.labels)}
    tokens, indices = [], []
    rows = zip(table.column(words), table.column(tags), strict=True)
    for i, (row, named) in enumerate(rows):
        tokens.append(_checked_words(table, words, i, row))
        given = _checked_tags(table, tags, i, named)
        if len(given) != len(tokens[-1]):
            raise table.error(
                i,
                tags,
                f"{len(given)} tags for {len(tokens[-1])} words",
                "Give every word one tag.",
            )
        for place, tag in enumerate(given):
            if tag not in known:
                raise _unknown(table, tags, i, place, tag, spec)
        indices.append([known[tag] for tag in given])
    documents = _documents(table)
    columns = {TOKENS: tokens, TAGS: indices, DOCUMENT: documents, "row": list(range(len(tokens)))}
    features = datasets.Features(
        {
            TOKENS: datasets.List(datasets.Value("string")),
            TAGS: datasets.List(datasets.Value("int64")),
            DOCUMENT: datasets.Value("int64"),
            "row": datasets.Value("int64"),
        }
    )
    return datasets.Dataset.from_dict(columns, features=features)


def read_conll2003(folder: Path) -> TaskRows:
    """Read the task from a folder with CoNLL's columns, IOB1 or IOB2."""
    train, dev = (_file(folder, names) for names in (TRAIN_FILES, DEV_FILES))
    rows = [word_rows(read_columns(path), CONLL2003) for path in (train, dev)]
    return TaskRows(CONLL2003, rows[0], {"dev": rows[1]}, f"folder:{folder}")


def _file(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise RpmaskError(
        f"{folder} has no {' or '.join(names)} for task '{CONLL2003.name}'.",
        "A line has a word first and its tag last; name the folder with --data-dir.",
    )


def _documents(table: Table) -> list[int]:
    """A number for each row's document; a table without documents has one for each row."""
    if DOCUMENT not in table.columns:
        return list(range(len(table.places)))
    return document_numbers(table.column(DOCUMENT))


def _unknown(
    table: Table, column: str, index: int, place: int, tag: str, spec: TaskSpec
) -> RpmaskError:
    """An error that names the line of the word, or the row and the word's place in it."""
    expected = f"The tags of '{spec.name}' are {listed(spec.labels)}."
    lines = table.columns.get(LINES)
    if lines is None:
        return table.error(index, column, f"unknown tag {shown(tag)} of word {place + 1}", expected)
    at: Any = lines[index]
    return RpmaskError(f"{table.source}, line {at[place]}: unknown tag {shown(tag)}.", expected)


def _checked_words(table: Table, column: str, index: int, row: object) -> list[str]:
    if not isinstance(row, list) or not all(isinstance(word, str) and word.strip() for word in row):
        raise table.error(
            index,
            column,
            f"{shown(row)} where a list of words was expected",
            f"Write a list of strings, none of them blank: {EXAMPLE}.",
        )
    if not row:
        raise table.error(index, column, "no words", "Leave the row out.")
    return row


def _checked_tags(table: Table, column: str, index: int, row: object) -> list[str]:
    if not isinstance(row, list) or not all(isinstance(tag, str) and tag for tag in row):
        raise table.error(
            index,
            column,
            f"{shown(row)} where a list of tags was expected",
            f"Write a list of strings, one for each word: {EXAMPLE}.",
        )
    return row
