"""Questions with their texts, as tokens: a long text is read in windows that overlap.

A window is the question and a part of the text. Successive windows of a text share a third of `--max-length`,
128 tokens of 384 as usual for SQuAD, so that an answer is whole in one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads.classes import UNKNOWN_UNIT
from rpmask.heads.head import Array
from rpmask.heads.texts import KNOWN

PADDING = -100  # the mark of a token that pads
START, END = 1, 2  # bits of the mark of a token where an answer begins or ends
SHORTEST = 32  # max_length that leaves room for a question and a text
LONGEST_QUESTION = 64  # tokens, or a third of a window; the rest is cut off
CHUNK = 1000  # questions tokenised at once

Feature = dict[str, Any]


@dataclass(frozen=True)
class Window:
    """What the tokens of a window are: characters of the text, and the token that means no answer."""

    characters: Array  # (tokens, 2), begin and end in the text; -1 for tokens that are not of it
    nothing: int


@dataclass(frozen=True)
class Question:
    """What is known about a question: its text, its right answers, and the windows that it is read in."""

    context: str
    answers: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


def read_windows(
    questions: Sequence[str], contexts: Sequence[str], reader: Any, max_length: int
) -> tuple[list[Feature], list[Window], Array]:
    """The tokens and the window of every row, and the question of each."""
    if not reader.is_fast:
        raise RpmaskError(
            f"The tokenizer {type(reader).__name__} does not say which characters a token is.",
            "Use a model with a fast tokenizer (tokenizer.json).",
        )
    if max_length < SHORTEST:
        raise RpmaskError(
            f"{max_length} tokens leave no room for a question and its text.",
            f"Give --max-length {SHORTEST} or more; 384 is usual.",
        )
    features: list[Feature] = []
    windows: list[Window] = []
    owners: list[int] = []
    for begin in range(0, len(questions), CHUNK):
        end = begin + CHUNK
        found = reader(
            _shortened(questions[begin:end], reader, min(LONGEST_QUESTION, max_length // 3)),
            list(contexts[begin:end]),
            truncation="only_second",
            max_length=max_length,
            stride=max_length // 3,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names = [name for name in KNOWN if name in found]
        for i, owner in enumerate(found["overflow_to_sample_mapping"]):
            ids = found["input_ids"][i]
            characters = np.array(found["offset_mapping"][i], dtype=np.int32)
            outside = [part != 1 for part in found.sequence_ids(i)]
            characters[outside] = -1
            nothing = ids.index(reader.cls_token_id) if reader.cls_token_id in ids else 0
            features.append({name: found[name][i] for name in names})
            windows.append(Window(characters, nothing))
            owners.append(begin + owner)
    return features, windows, np.array(owners)


def with_windows(questions: Sequence[Question], windows: Sequence[Window], owners: Array) -> Array:
    """The questions, each with its windows: (questions,), of objects."""
    found = np.empty(len(questions), dtype=object)
    begins = np.searchsorted(owners, np.arange(len(questions)))
    for i, (question, begin, end) in enumerate(
        zip(questions, begins, [*begins[1:], len(windows)], strict=True)
    ):
        found[i] = replace(question, windows=tuple(windows[begin:end]))
    return found


def marks(window: Window, answer: tuple[str, int] | None) -> list[int]:
    """The mark of every token: START and END at the answer, or both where the window does not have it."""
    found = np.zeros(len(window.characters), dtype=np.int64)
    start, end = _tokens(window, answer) or (window.nothing, window.nothing)
    found[start] |= START
    found[end] |= END
    return [int(mark) for mark in found]


def unmarked(window: Window) -> list[int]:
    """The marks of a window whose answer is not known."""
    return [UNKNOWN_UNIT] * len(window.characters)


def _tokens(window: Window, answer: tuple[str, int] | None) -> tuple[int, int] | None:
    """The first and the last token of an answer; None if the window does not have all of it."""
    if answer is None:
        return None
    text, begin = answer
    # A token's characters may begin with the space before it, and an answer with spaces of its own.
    begin, end = begin + len(text) - len(text.lstrip()), begin + len(text.rstrip())
    begins, ends = window.characters.T
    first = np.flatnonzero((begins <= begin) & (ends > begin))
    last = np.flatnonzero((begins < end) & (ends >= end))
    return (int(first[0]), int(last[-1])) if len(first) and len(last) else None


def _shortened(questions: Sequence[str], reader: Any, longest: int) -> list[str]:
    """The questions without surrounding spaces, the long ones cut."""
    trimmed = [question.strip() for question in questions]
    found = reader(trimmed, add_special_tokens=False, return_offsets_mapping=True)
    return [
        text if len(offsets) <= longest else text[: offsets[longest - 1][1]]
        for text, offsets in zip(trimmed, found["offset_mapping"], strict=True)
    ]
