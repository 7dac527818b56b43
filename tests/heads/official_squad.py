"""SQuAD's official evaluation, 1.1 and 2.0, written again from its definition and apart from the package."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any


def normalize(text: str) -> str:
    text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(word for word in re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact(gold: str, guess: str) -> int:
    return int(normalize(gold) == normalize(guess))


def f1_of_1(gold: str, guess: str) -> float:
    golds, guesses = normalize(gold).split(), normalize(guess).split()
    rest, same = list(golds), 0
    for word in guesses:
        if word in rest:
            rest.remove(word)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(guesses), same / len(golds)
    return 2 * precision * recall / (precision + recall)


def f1_of_2(gold: str, guess: str) -> float:
    if not normalize(gold).split() or not normalize(guess).split():
        return float(normalize(gold).split() == normalize(guess).split())
    return f1_of_1(gold, guess)


def questions(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [qa for article in data["data"] for p in article["paragraphs"] for qa in p["qas"]]


def evaluate_1(data: dict[str, Any], guesses: dict[str, str]) -> dict[str, float]:
    def mean(measure: Callable[[str, str], float]) -> float:
        scores = [
            max(measure(answer["text"], guesses[qa["id"]]) for answer in qa["answers"])
            for qa in questions(data)
        ]
        return sum(scores) / len(scores)

    return {"exact_match": mean(exact), "f1": mean(f1_of_1)}


def evaluate_2(data: dict[str, Any], guesses: dict[str, str]) -> dict[str, float]:
    exacts, f1s = {}, {}
    for qa in questions(data):
        golds = [a["text"] for a in qa["answers"] if normalize(a["text"])] or [""]
        exacts[qa["id"]] = max(exact(gold, guesses[qa["id"]]) for gold in golds)
        f1s[qa["id"]] = max(f1_of_2(gold, guesses[qa["id"]]) for gold in golds)
    has = {qa["id"] for qa in questions(data) if qa["answers"]}

    def mean(scores: dict[str, Any], ids: set[str]) -> float:
        return sum(scores[each] for each in ids) / len(ids)

    return {
        "exact_match": mean(exacts, set(exacts)),
        "f1": mean(f1s, set(f1s)),
        "has_answer_exact_match": mean(exacts, has),
        "has_answer_f1": mean(f1s, has),
        "no_answer_exact_match": mean(exacts, set(exacts) - has),
    }
