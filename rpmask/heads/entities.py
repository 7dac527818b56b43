"""Entities in tags, and their precision, recall and F1 as conlleval counts them.

A tag is `O`, or a position and a type with a dash between them: `B-PER`, `I-PER`. An entity begins at a tag
that says so, after `O`, or where the type changes, so that IOB1, IOB2 and tags that break their scheme are
read alike. It is right if its first word, its last word and its type are.
"""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
BEGIN, END = ("B", "S"), ("E", "S")  # S is a single word, E the last

Entity = tuple[int, int, str]


def entities(tags: Sequence[str]) -> set[Entity]:
    """The first word, the last word and the type of every entity of a row."""
    found: set[Entity] = set()
    start, before = 0, (OUTSIDE, "")
    for place, tag in enumerate([*tags, OUTSIDE]):
        position, _, kind = tag.partition("-")
        begins = before[0] == OUTSIDE or position in BEGIN or before[0] in END or kind != before[1]
        if before[0] != OUTSIDE and (begins or position == OUTSIDE):
            found.add((start, place - 1, before[1]))
        if begins:
            start = place
        before = (position, kind)
    return found


def entity_scores(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Precision, recall and F1 of the entities of all rows; 0 where there are none to divide by."""
    found = right = known = 0
    for predicted, reference in zip(predictions, references, strict=True):
        ours, theirs = entities(predicted), entities(reference)
        found, known, right = found + len(ours), known + len(theirs), right + len(ours & theirs)
    precision = right / found if found else 0.0
    recall = right / known if known else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"entity_precision": precision, "entity_recall": recall, "entity_f1": f1}
