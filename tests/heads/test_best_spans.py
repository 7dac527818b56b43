"""The best answers over windows, against a plain search through all spans."""

from __future__ import annotations

import numpy as np
import pytest

from rpmask.heads.best_spans import LONGEST, best_spans, shares
from rpmask.heads.windows import Question, Window

TEXT = "".join(chr(ord("a") + i % 26) for i in range(100))


def question(random: np.random.Generator, windows: int, asked: int = 3) -> Question:
    """Windows of a text of 100 one-letter tokens, each after the tokens of a question."""
    found = []
    for number in range(windows):
        length = int(random.integers(5, 60))
        begin = int(random.integers(0, 100 - length))
        letters = np.arange(begin, begin + length)
        outside = np.full((1 + asked, 2), -1)
        characters = np.concatenate([outside, np.stack([letters, letters + 1], axis=1), [[-1, -1]]])
        found.append(Window(characters, nothing=0 if number % 2 else asked))
    return Question(TEXT, (), tuple(found))


def every_span(given: Question, logits: np.ndarray) -> list[tuple[float, str]]:
    """All spans by loops: score and text, each place once, best first."""
    scores: dict[tuple[int, int], float] = {}
    for ends, window in zip(logits, given.windows, strict=True):
        tokens = range(len(window.characters))
        for s in tokens:
            for e in tokens:
                inside = window.characters[s, 0] >= 0 and window.characters[e, 0] >= 0
                if inside and s <= e and e - s + 1 <= LONGEST:
                    place = (int(window.characters[s, 0]), int(window.characters[e, 1]))
                    score = float(ends[0, s]) + float(ends[1, e])
                    scores[place] = max(score, scores.get(place, -np.inf))
    return sorted(((score, TEXT[a:b]) for (a, b), score in scores.items()), reverse=True)


@pytest.mark.parametrize("windows", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_as_found_by_loops(windows: int, seed: int) -> None:
    random = np.random.default_rng([windows, seed])
    given = question(random, windows)
    width = max(len(window.characters) for window in given.windows) + 3
    logits = random.normal(size=(windows, 2, width)).astype(np.float32)
    expected = every_span(given, logits)[:20]
    found = best_spans(given, logits, 20, none=False)
    assert [span.text for span in found] == [text for _, text in expected]
    np.testing.assert_allclose([span.score for span in found], [score for score, _ in expected])
    assert best_spans(given, logits, 1, none=False) == found[:1]

    least = min(
        float(ends[0, window.nothing]) + float(ends[1, window.nothing])
        for ends, window in zip(logits, given.windows, strict=True)
    )
    with_none = best_spans(given, logits, 20, none=True)
    ranked = sorted([*expected, (least, "")], key=lambda each: -each[0])[:20]
    assert [span.text for span in with_none] == [text for _, text in ranked]


def test_no_answer_must_score_higher_in_every_window() -> None:
    window = Window(np.array([[-1, -1], [0, 1], [1, 2]]), nothing=0)
    given = Question("ab", (), (window, window))
    logits = np.zeros((2, 2, 3))
    logits[0, :, 0] = 5.0  # only the first says that there is none
    logits[1, 0, 1] = logits[1, 1, 2] = 1.0
    assert best_spans(given, logits, 1, none=True)[0].text == "ab"
    logits[1, :, 0] = 1.0  # as much as the best span: the threshold of the difference is 0
    assert best_spans(given, logits, 1, none=True)[0].text == "ab"
    logits[1, :, 0] = 1.1
    assert best_spans(given, logits, 1, none=True)[0].text == ""
    assert best_spans(given, logits, 1, none=False)[0].text == "ab"
    spans = best_spans(given, logits, 20, none=True)
    assert shares(spans).sum() == pytest.approx(1.0)
    assert shares(spans)[0] == pytest.approx(
        np.exp(2.2) / (np.exp(2.2) + np.exp(2.0) + 2 * np.exp(1.0))
    )


def test_a_text_without_a_token_has_no_answer() -> None:
    window = Window(np.full((3, 2), -1), nothing=0)
    assert (
        best_spans(Question("\u200b", (), (window,)), np.zeros((1, 2, 3)), 1, none=False)[0].text
        == ""
    )
