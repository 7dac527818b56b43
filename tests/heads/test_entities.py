"""Entities by conlleval's rules, with counts worked out by hand."""

from __future__ import annotations

import pytest

from rpmask.heads.entities import entities, entity_scores


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", set()),
        # IOB2: every entity begins with B.
        ("B-PER I-PER O B-LOC", {(0, 1, "PER"), (3, 3, "LOC")}),
        ("B-PER B-PER", {(0, 0, "PER"), (1, 1, "PER")}),
        # IOB1: B only where an entity follows one of its type.
        ("I-PER I-PER O I-LOC", {(0, 1, "PER"), (3, 3, "LOC")}),
        ("I-PER B-PER I-PER", {(0, 0, "PER"), (1, 2, "PER")}),
        ("I-ORG I-PER", {(0, 0, "ORG"), (1, 1, "PER")}),
        # Broken: I after O begins one, and so does another type, whatever the position says.
        ("O I-PER O", {(1, 1, "PER")}),
        ("B-PER I-LOC I-LOC", {(0, 0, "PER"), (1, 2, "LOC")}),
        ("B-PER I-LOC I-PER", {(0, 0, "PER"), (1, 1, "LOC"), (2, 2, "PER")}),
        # IOE and IOBES.
        ("I-PER E-PER I-PER", {(0, 1, "PER"), (2, 2, "PER")}),
        ("S-PER S-PER B-LOC E-LOC", {(0, 0, "PER"), (1, 1, "PER"), (2, 3, "LOC")}),
        # Types with a dash.
        ("B-a-b I-a-b I-a-c", {(0, 1, "a-b"), (2, 2, "a-c")}),
    ],
)
def test_entities(tags: str, expected: set[tuple[int, int, str]]) -> None:
    assert entities(tags.split()) == expected


def test_entities_end_with_their_row() -> None:
    """Two rows are not one: an entity at the end of the first does not go on in the second."""
    scores = entity_scores([["I-PER"], ["I-PER"]], [["I-PER"], ["I-PER"]])
    assert scores == {"entity_precision": 1.0, "entity_recall": 1.0, "entity_f1": 1.0}


def test_scores_by_hand() -> None:
    """Of 5 known and 6 found, 3 are right: a place, the last organisation, and the last person."""
    known = ["I-PER I-PER O I-LOC", "B-ORG I-ORG B-ORG", "I-PER O"]
    found = ["I-PER O O I-LOC", "B-ORG I-PER I-ORG", "B-PER O"]
    scores = entity_scores([row.split() for row in found], [row.split() for row in known])
    # found: (0,0,PER) (3,3,LOC) | (0,0,ORG) (1,1,PER) (2,2,ORG) | (0,0,PER)
    # known: (0,1,PER) (3,3,LOC) | (0,1,ORG) (2,2,ORG)            | (0,0,PER)
    assert scores["entity_precision"] == pytest.approx(3 / 6)
    assert scores["entity_recall"] == pytest.approx(3 / 5)
    assert scores["entity_f1"] == pytest.approx(2 * 3 / (6 + 5))


def test_nothing_found_or_nothing_known() -> None:
    zero = {"entity_precision": 0.0, "entity_recall": 0.0, "entity_f1": 0.0}
    assert entity_scores([["O"]], [["B-PER"]]) == zero
    assert entity_scores([["B-PER"]], [["O"]]) == zero
    assert entity_scores([["O"]], [["O"]]) == zero
