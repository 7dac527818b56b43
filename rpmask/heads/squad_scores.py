"""SQuAD's exact match and F1, as its official evaluation scripts compute them.

Texts are compared in lower case, without punctuation, articles and surplus spaces. F1 is over the words that
a prediction shares with an answer. A question with several right answers counts the best one. A question
without an answer is right if nothing is predicted for it, and SQuAD 2.0 gives a prediction of nothing no
share of a right answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without punctuation, then without articles, with single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact(prediction: str, answer: str) -> float:
    """Whether both are the same text."""
    return float(normalised(prediction) == normalised(answer))


def shared(prediction: str, answer: str) -> float:
    """F1 of the words; 0 if a text has none."""
    ours, theirs = normalised(prediction).split(), normalised(answer).split()
    same = sum((Counter(ours) & Counter(theirs)).values())
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best(
    measure: Callable[[str, str], float], prediction: str, answers: Sequence[str], *, none: bool
) -> float:
    """The best score over the right answers. none: as in 2.0, where a question may have none."""
    if not none:
        return max((measure(prediction, answer) for answer in answers), default=0.0)
    worded = [answer for answer in answers if normalised(answer)]
    if not worded or not normalised(prediction):
        return float(not worded and not normalised(prediction))
    return max(measure(prediction, answer) for answer in worded)


def squad_scores(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], *, none: bool
) -> dict[str, float]:
    """F1 and exact match of all questions, and of those with and without an answer; 0 if there are none."""
    pairs = list(zip(predictions, answers, strict=True))
    scores = {
        "f1": np.array([best(shared, *pair, none=none) for pair in pairs]),
        "exact_match": np.array([best(exact, *pair, none=none) for pair in pairs]),
    }
    answered = np.array([bool(known) for known in answers])

    def mean(name: str, rows: np.ndarray) -> float:
        return float(scores[name][rows].mean()) if rows.any() else 0.0

    every = np.ones(len(pairs), dtype=bool)
    return {
        **{name: mean(name, every) for name in scores},
        **{f"has_answer_{name}": mean(name, answered) for name in scores},
        "no_answer_exact_match": mean("exact_match", ~answered),
    }
