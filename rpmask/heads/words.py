"""Words and the tokens that they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.heads.head import Array
from rpmask.heads.texts import KNOWN

NO_WORD = -100  # at a token that does not begin a word, and at padding

Feature = dict[str, Any]


def of_words(row: Any) -> list[str]:
    """A row's words: as given, or those between the spaces of a text."""
    words = row.split() if isinstance(row, str) else row
    if not isinstance(words, list):
        raise RpmaskError(
            "This model tags words, and a row is two texts.",
            'Give {"tokens": ["...", "..."]}, or one text per row.',
        )
    if not words:
        raise RpmaskError("A row has no words.", "Leave the row out.")
    return words


def align(
    rows: Sequence[Sequence[str]], tags: Sequence[Array], reader: Any, max_length: int
) -> list[Feature]:
    """Tokenise rows of words; `labels` holds a word's tag at its first token.

    Words without a token, such as one of control characters, are read as unknown.
    """
    if not reader.is_fast:
        raise RpmaskError(
            f"The tokenizer {type(reader).__name__} does not say which word a token is part of.",
            "Use a model with a fast tokenizer (tokenizer.json).",
        )
    tokens, firsts = _tokenise(rows, reader, max_length)
    unread = [i for i, first in enumerate(firsts) if len(first) != max(first, default=-1) + 1]
    if unread:
        unknown = reader.unk_token or "?"
        known = [
            [word if j in firsts[i] else unknown for j, word in enumerate(rows[i])] for i in unread
        ]
        again, firsts_again = _tokenise(known, reader, max_length)
        for i, feature, first in zip(unread, again, firsts_again, strict=True):
            tokens[i], firsts[i] = feature, first
    for feature, first, row in zip(tokens, firsts, tags, strict=True):
        labels = [NO_WORD] * len(feature["input_ids"])
        for word, place in first.items():
            labels[place] = int(row[word])
        feature["labels"] = labels
    return tokens


def _tokenise(
    rows: Sequence[Sequence[str]], reader: Any, max_length: int
) -> tuple[list[Feature], list[dict[int, int]]]:
    """The tokens of every row, and the place of each word's first one.

    Words are joined by spaces and found by their characters, which works for every fast tokenizer, also for
    those that take no divided text.
    """
    texts = [" ".join(row) for row in rows]
    found = reader(texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
    names = [name for name in KNOWN if name in found]
    features = [{name: found[name][i] for name in names} for i in range(len(rows))]
    firsts = []
    for row, spans in zip(rows, found["offset_mapping"], strict=True):
        of_character = [i for i, word in enumerate(row) for _ in range(len(word) + 1)]
        first: dict[int, int] = {}
        for place, (begin, end) in enumerate(spans):
            if end > begin:  # else a token that was added
                first.setdefault(of_character[end - 1], place)
        firsts.append(first)
    return features, firsts
