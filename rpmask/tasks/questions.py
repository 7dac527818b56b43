"""Rows of a question, a text, and the answers in the text.

Bad data stops here: no later code sees a question without a text to read, or an answer that is not where the
row says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rpmask.tasks.rows import document_numbers, shown, texts
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.squad_json import ANSWERS, CONTEXT, DOCUMENT, EXAMPLE, ID, QUESTION
from rpmask.tasks.tables import Table

if TYPE_CHECKING:
    import datasets

KIND = "spans"
STARTS = "starts"
DOCUMENTS = (DOCUMENT, "title")  # columns that may say which rows belong together
# What the two outputs for a token are; the names also say whether a question may have no answer.
ENDS, ENDS_OR_NONE = ("start", "end"), ("start or none", "end or none")
METRICS = ("f1", "exact_match")
METRICS_OR_NONE = (
    *METRICS,
    *("has_answer_f1", "has_answer_exact_match", "no_answer_exact_match"),
)


def span_task(name: str, title: str, *, none: bool) -> TaskSpec:
    """A task of questions; none says whether some have no answer."""
    return TaskSpec(
        name=name,
        title=title,
        kind=KIND,
        labels=ENDS_OR_NONE if none else ENDS,
        pair=True,
        metrics=METRICS_OR_NONE if none else METRICS,
        primary=METRICS[0],
    )


def has_none(table: Table, column: str = ANSWERS) -> bool:
    """Whether a question of the table has no answer."""
    return any(not _pairs(table, column, i, row) for i, row in enumerate(table.column(column)))


def question_rows(
    table: Table,
    spec: TaskSpec,
    *,
    question: str = QUESTION,
    context: str = CONTEXT,
    answers: str = ANSWERS,
) -> datasets.Dataset:
    """Check a table; return `question`, `context`, `answers`, `starts`, `id`, `document` and `row`."""
    import datasets

    questions, contexts = (_not_blank(table, name) for name in (question, context))
    found = [_pairs(table, answers, i, row) for i, row in enumerate(table.column(answers))]
    for i, pairs in enumerate(found):
        if not pairs and spec.labels == ENDS:
            raise table.error(
                i,
                answers,
                f"no answer, and every question of '{spec.name}' has one",
                "Leave the question out, or give a task whose questions may have none "
                "(squad_v2, or train rows of which some have none).",
            )
        for text, start in pairs:
            _check_place(table, answers, i, text, start, contexts[i])
    rows = range(len(questions))
    columns = {
        QUESTION: questions,
        CONTEXT: contexts,
        ANSWERS: [[text for text, _ in pairs] for pairs in found],
        STARTS: [[start for _, start in pairs] for pairs in found],
        ID: [str(name) for name in table.columns.get(ID, rows)],
        DOCUMENT: _documents(table, contexts),
        "row": list(rows),
    }
    types: dict[str, Any] = {name: datasets.Value("string") for name in (QUESTION, CONTEXT, ID)}
    types |= {DOCUMENT: datasets.Value("int64"), "row": datasets.Value("int64")}
    types[ANSWERS] = datasets.List(datasets.Value("string"))
    types[STARTS] = datasets.List(datasets.Value("int64"))
    features = datasets.Features({name: types[name] for name in columns})
    return datasets.Dataset.from_dict(columns, features=features)


def _not_blank(table: Table, column: str) -> list[str]:
    found = texts(table, column)
    for i, text in enumerate(found):
        if not text.strip():
            raise table.error(i, column, "an empty text", "Leave the row out.")
    return found


def _pairs(table: Table, column: str, index: int, value: Any) -> list[tuple[str, int]]:
    """The answers of a row, each with its place; in the hub's form, or in SQuAD's own."""
    pairs: Any = None
    if isinstance(value, dict):
        given, starts = value.get("text"), value.get("answer_start")
        if isinstance(given, list) and isinstance(starts, list) and len(given) == len(starts):
            pairs = list(zip(given, starts, strict=True))
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        pairs = [(each.get("text"), each.get("answer_start")) for each in value]
    whole = pairs is not None and all(
        isinstance(text, str) and isinstance(start, int) for text, start in pairs
    )
    if not whole:
        raise table.error(
            index,
            column,
            f"{shown(value)} where answers and their places were expected",
            f"Write {EXAMPLE}; a question without an answer has empty lists.",
        )
    found: list[tuple[str, int]] = pairs
    return found


def _check_place(
    table: Table, column: str, index: int, text: str, start: int, context: str
) -> None:
    if not text.strip():
        raise table.error(index, column, "an empty answer", "Leave the answer out.")
    if start >= 0 and context.startswith(text, start):
        return
    place = context.find(text)
    if place < 0:
        raise table.error(
            index,
            column,
            f"the answer {shown(text)} is not in its context",
            "Write the answer as the context has it, or leave the question out.",
        )
    raise table.error(
        index,
        column,
        f"the answer {shown(text)} is not at character {start} of its context",
        f"It is at {place}, counted from 0 in Unicode characters.",
    )


def _documents(table: Table, contexts: Sequence[str]) -> list[int]:
    """A number for each row's article; for its context, if the table names no article or only one."""
    for name in DOCUMENTS:
        if len(set(map(str, table.columns.get(name, ())))) > 1:
            return document_numbers(table.columns[name])
    return document_numbers(contexts)
