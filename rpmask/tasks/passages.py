"""Rows of plain text: passages of a text, or documents of a table.

A row is a passage of a few lines, so that a text can be divided; its columns say which document it is of and
whether it continues the row before. Read in order, the passages are the text, character by character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.tasks.hub import HubDataset
from rpmask.tasks.hub_table import SPLITS, is_on_hub, read_hub_table
from rpmask.tasks.rows import shown
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.tables import READERS, Table, read_table, read_text

if TYPE_CHECKING:
    import datasets

KIND = "language"
TEXT, DOCUMENT, CONTINUES, ROW = "text", "document", "continues", "row"
METRICS = ("perplexity", "bits_per_byte")
PASSAGE = 2000  # characters, about 500 tokens; the passages of a short text are shorter
PASSAGES = 100  # that a short text is divided into
STRETCH = 8  # neighbouring passages of a text that stay together in the selection split
ARTICLE = re.compile(r"^ = [^=\n]+ = *$", re.MULTILINE)  # the title of an article of WikiText
TRAIN_FILES = ("train.txt", "wiki.train.raw", "wiki.train.tokens")
DEV_FILES = ("dev.txt", "valid.txt", "wiki.valid.raw", "wiki.valid.tokens")


def language_spec(name: str, title: str) -> TaskSpec:
    """The description of a text to predict."""
    return TaskSpec(name, title, KIND, (), False, METRICS, METRICS[0])


WIKITEXT2 = language_spec("wikitext2", "WikiText-2: the next token of articles of Wikipedia")
ON_HUB = HubDataset(
    task=WIKITEXT2.name,
    repository="Salesforce/wikitext",
    config="wikitext-2-raw-v1",
    splits={"train": "train", "dev": "validation"},
    alternatives="Connect, name the folder of its train.txt and dev.txt with --data-dir, or give a text of "
    "your own: --kind language --train FILE --dev FILE.",
)


def read_wikitext2(folder: Path | None) -> TaskRows:
    """Read the task from a folder, or from the cache or the hub."""
    if folder is not None:
        texts = [read_text(_file(folder, names)) for names in (TRAIN_FILES, DEV_FILES)]
        source = f"folder:{folder}"
    else:
        splits, source = ON_HUB.load()
        texts = ["".join(line or "\n" for line in splits[name][TEXT]) for name in ("train", "dev")]
    train, dev = (_passages(_articles(text)) for text in texts)
    return TaskRows(WIKITEXT2, train, {"dev": dev}, source)


def read_language(name: str, places: Sequence[str], column: str) -> TaskRows:
    """Read a user's train and dev rows: plain texts, or tables with a document in each row."""
    train, dev = (
        _own_rows(place, split, column) for place, split in zip(places, SPLITS, strict=True)
    )
    spec = language_spec(name, f"the next token of {Path(places[0]).name}")
    return TaskRows(spec, train, {"dev": dev}, f"files:{places[0]},{places[1]}")


def calibrated_on(rows: TaskRows, place: str, column: str) -> TaskRows:
    """The rows with another text in the place of the training text."""
    if rows.spec.kind != KIND:
        raise RpmaskError(
            f"--calibration names a text, and task '{rows.spec.name}' is of kind {rows.spec.kind}.",
            "Leave it out: importances and refits take rows of the task.",
        )
    train = _own_rows(place, SPLITS[0], column)
    return replace(rows, train=train, source=f"{rows.source},{place}")


def _own_rows(place: str, split: str, column: str) -> datasets.Dataset:
    if is_on_hub(place):
        return _documents(read_hub_table(place, split).without_blank(column), column)
    path = Path(place)
    if path.suffix.lower() in READERS:
        return _documents(read_table(path), column)
    return _passages(_stretches(read_text(path)))


def _file(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise RpmaskError(
        f"{folder} has no {' or '.join(names[:2])} for task '{WIKITEXT2.name}'.",
        "Name the folder with --data-dir.",
    )


def _articles(text: str) -> Iterator[list[str]]:
    """The passages of each article; without titles, of each stretch."""
    starts = [found.start() for found in ARTICLE.finditer(text)]
    if len(starts) < 2:
        yield from _stretches(text)
        return
    starts[0] = 0  # what is above the first title belongs to it
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield list(_cut(text[start:end], PASSAGE))


def _stretches(text: str) -> Iterator[list[str]]:
    """The passages of a text, some neighbours together."""
    size = max(1, min(PASSAGE, len(text) // PASSAGES))
    passages = list(_cut(text, size))
    together = max(1, min(STRETCH, len(passages) // 10))
    for start in range(0, len(passages), together):
        yield passages[start : start + together]


def _cut(text: str, size: int) -> Iterator[str]:
    """Parts of at least so many characters that end with a line, or with a word where lines are long."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + size - 1) + 1
        if not end or end > start + 4 * size:
            end = text.find(" ", start + size) + 1 or len(text)
        yield text[start:end]
        start = end


def _passages(documents: Iterator[list[str]]) -> datasets.Dataset:
    """Passages that follow one another, those of a document together."""
    rows = [(text, number) for number, part in enumerate(documents) for text in part]
    texts, numbers = [text for text, _ in rows], [number for _, number in rows]
    return _dataset(texts, numbers, [i > 0 for i in range(len(rows))])


def _documents(table: Table, column: str) -> datasets.Dataset:
    """A table's documents, each for itself."""
    texts: list[str] = []
    for i, value in enumerate(table.column(column)):
        if not isinstance(value, str):
            found = "no value" if value is None else shown(value)
            raise table.error(i, column, f"{found} where a text was expected", "Write a string.")
        if not value.strip():
            raise table.error(i, column, "an empty document", "Leave the row out.")
        texts.append(value)
    return _dataset(texts, list(range(len(texts))), [False] * len(texts))


def _dataset(texts: list[str], documents: list[int], continues: list[bool]) -> datasets.Dataset:
    import datasets

    columns = {TEXT: texts, DOCUMENT: documents, CONTINUES: continues, ROW: list(range(len(texts)))}
    types = {TEXT: "string", DOCUMENT: "int64", CONTINUES: "bool", ROW: "int64"}
    features = datasets.Features({name: datasets.Value(types[name]) for name in columns})
    return datasets.Dataset.from_dict(columns, features=features)
