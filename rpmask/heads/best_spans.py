"""The best answers to a question over all its windows.

An answer is a span of at most 30 tokens of a window's text; its score is the sum of the logits of its start
and its end. Every span is compared, so that none is missed. No answer scores what the token for it does in
the window where it scores least: a window without the answer has nothing else to give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rpmask.heads.head import Array
from rpmask.heads.windows import Question

LONGEST = 30  # tokens
COUNT = 20  # the answers that share a probability


@dataclass(frozen=True)
class Span:
    """An answer; the empty text is none."""

    text: str
    score: float


def best_spans(question: Question, logits: Array, count: int, *, none: bool) -> list[Span]:
    """The best answers by score, each text place once; logits are (windows, 2, tokens).

    With none, no answer is one of them, and leads where it scores higher than the best.
    """
    sums = _sums(question, logits)
    spans = [Span(text, score) for (text, score) in _best(question, sums, count)]
    if none or not spans:
        least = min(
            float(ends[:, window.nothing].sum())
            for ends, window in zip(logits, question.windows, strict=True)
        )
        spans = sorted([*spans, Span("", least)], key=lambda span: -span.score)
    return spans[:count]


def shares(spans: list[Span]) -> Array:
    """The probability of each answer, among these."""
    scores = np.array([span.score for span in spans])
    exps = np.exp(scores - scores.max())
    found: Array = exps / exps.sum()
    return found


def _sums(question: Question, logits: Array) -> Array:
    """The score of every span, (windows, start tokens, lengths); minus infinity where there is none."""
    windows, _, width = logits.shape
    allowed = np.zeros((windows, width), dtype=bool)
    for row, window in zip(allowed, question.windows, strict=True):
        begins, ends = window.characters.T
        row[: len(begins)] = ends > begins
    starts, ends = (
        np.where(allowed, logits[:, side].astype(np.float64), -np.inf) for side in (0, 1)
    )
    sums = np.full((windows, width, min(LONGEST, width)), -np.inf)
    for more in range(sums.shape[2]):
        sums[:, : width - more, more] = starts[:, : width - more] + ends[:, more:]
    return sums


def _best(question: Question, sums: Array, count: int) -> list[tuple[str, float]]:
    """The best texts with their scores. A span that several windows have counts once, at its best."""
    flat = sums.ravel()
    wanted = min(flat.size, count * len(question.windows))  # a span is in every window at most once
    places = (
        np.argpartition(-flat, wanted - 1)[:wanted] if wanted < flat.size else np.arange(wanted)
    )
    places = places[np.lexsort((places, -flat[places]))]
    found: dict[tuple[int, int], float] = {}
    for place in places:
        if flat[place] == -np.inf:
            break
        window, start, more = np.unravel_index(place, sums.shape)
        characters = question.windows[window].characters
        span = int(characters[start, 0]), int(characters[start + more, 1])
        found.setdefault(span, float(flat[place]))
    best = list(found.items())[:count]
    return [(question.context[begin:end].strip(), score) for (begin, end), score in best]
