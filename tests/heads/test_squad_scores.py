"""Exact match and F1, by hand and as SQuAD's official scripts compute them."""

from __future__ import annotations

import numpy as np
import official_squad as official
import pytest

from rpmask.heads.squad_scores import exact, normalised, shared, squad_scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's\tHat!", "cats hat"),
        ("a an the", ""),
        ("A.N. Other", "other"),  # without its full stops, A.N. is an article
        ("theatre and another", "theatre and another"),
        ("don\u2019t \u2014 stop", "don\u2019t \u2014 stop"),  # only ASCII punctuation goes
        ("$1,000.50", "100050"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected == official.normalize(text)


def test_scores_of_words_by_hand() -> None:
    assert exact("the Cat", "cat") == 1.0
    # Two of three words, of two: precision 2/3, recall 1.
    assert shared("big red cat", "the red cat") == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert shared("red red", "red") == pytest.approx(2 * 0.5 * 1 / 1.5)  # a word counts once
    assert shared("dog", "cat") == shared("the", "cat") == shared("the", "the") == 0.0


def test_questions_without_an_answer_by_hand() -> None:
    """Of four: right, half right by F1, rightly nothing, wrongly something."""
    found = squad_scores(
        ["cat", "red cat", "", "dog"], [["dog", "the cat"], ["cat"], [], []], none=True
    )
    half = 2 * 0.5 / 1.5
    assert found == pytest.approx(
        {
            "f1": (1 + half + 1 + 0) / 4,
            "exact_match": 2 / 4,
            "has_answer_f1": (1 + half) / 2,
            "has_answer_exact_match": 1 / 2,
            "no_answer_exact_match": 1 / 2,
        }
    )


def test_the_official_scripts_give_the_same() -> None:
    """On random answers of articles, punctuation and words, with several right answers, some empty."""
    random = np.random.default_rng(0)
    words = np.array(["the", "a", "Cat", "cat,", "dog", "red-hot", "--", "An", "two", "2"])

    def text() -> str:
        return " ".join(words[random.integers(len(words), size=random.integers(0, 4))])

    for none in (False, True):
        known = [[text() for _ in range(random.integers(0 if none else 1, 4))] for _ in range(400)]
        guesses = [text() for _ in known]
        qas = [
            {"id": str(i), "answers": [{"text": each} for each in golds]}
            for i, golds in enumerate(known)
        ]
        data = {"data": [{"paragraphs": [{"qas": qas}]}]}
        script = official.evaluate_2 if none else official.evaluate_1
        expected = script(data, {str(i): guess for i, guess in enumerate(guesses)})
        found = squad_scores(guesses, known, none=none)
        assert {name: found[name] for name in expected} == pytest.approx(expected)
        assert 0.1 < expected["f1"] < 0.9
