"""SQuAD's JSON: articles of paragraphs, each a context with its questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rpmask.errors import RpmaskError

QUESTION, CONTEXT, ANSWERS, ID, DOCUMENT = "question", "context", "answers", "id", "document"
ARTICLES = "data"
EXAMPLE = (
    '{"question": "...", "context": "...", "answers": {"text": ["..."], "answer_start": [17]}}'
)


def squad_questions(source: str, raw: Any) -> Iterator[dict[str, Any]]:
    """Every question with its context, its id, and the number of its article."""
    for number, article in enumerate(_list(source, "it", raw, ARTICLES), start=1):
        at = f"article {number}"
        for place, paragraph in enumerate(_list(source, at, article, "paragraphs"), start=1):
            within = f"paragraph {place} of {at}"
            for each in _list(source, within, paragraph, "qas"):
                if not isinstance(each, dict):
                    raise _not_squad(source, f"a question of {within} is no object")
                yield {
                    QUESTION: each.get(QUESTION),
                    CONTEXT: paragraph.get(CONTEXT),
                    ANSWERS: [] if each.get("is_impossible") else each.get(ANSWERS),
                    ID: each.get(ID, f"of {within}"),
                    DOCUMENT: number,
                }


def _list(source: str, where: str, raw: Any, name: str) -> list[Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(found, list):
        raise _not_squad(source, f"{where} has no list '{name}'")
    return found


def _not_squad(source: str, what: str) -> RpmaskError:
    return RpmaskError(
        f"{source} is not in SQuAD's format: {what}.",
        'SQuAD writes {"data": [{"paragraphs": [{"context": "...", "qas": [...]}]}]}; or write one object '
        f"per line: {EXAMPLE}.",
    )
