"""Texts and pairs of texts, as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads.head import Column
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from rpmask.heads.splits import Split

KNOWN = ("input_ids", "attention_mask", "token_type_ids")


class Texts:
    """A row is a text, or a pair of texts as a tuple."""

    are_text = True
    pipeline = "TextClassificationPipeline"
    pipeline_task = "text-classification"
    pipeline_answers: tuple[Column, ...] = (Column("label"), Column("score", "double"))
    packages: tuple[str, ...] = ()

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """Tokenise a split; labels become class indices or floats."""
        from rpmask.heads.splits import Encoded

        pairs = rows["text_pair"][:] if spec.pair else None
        tokens = reader(rows["text"][:], pairs, truncation=True, max_length=max_length)
        names = [name for name in KNOWN if name in tokens]
        features = [{name: tokens[name][i] for name in names} for i in range(len(rows))]
        labels = np.asarray(rows["label"][:], dtype=np.int64 if spec.labels else np.float32)
        return Encoded.of(features, labels, reader, max_length)

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """Token ids, padded to the longest row."""
        if any(isinstance(row, (list, dict)) for row in rows):
            raise RpmaskError(
                "This model reads texts, and the rows are lists of words or questions about a text.",
                'Give {"text": "..."}, or one text per row.',
            )
        pairs = [isinstance(row, tuple) for row in rows]
        if any(pairs) != all(pairs):
            raise RpmaskError(
                "Some rows are single texts and others are pairs.", "Give rows of one kind."
            )
        if pair is not None and any(pairs) != pair:
            raise _wrong_rows(pair)
        first = [row[0] if isinstance(row, tuple) else row for row in rows]
        second = [row[1] for row in rows if isinstance(row, tuple)] or None
        tokens = reader(
            first,
            second,
            truncation=True,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        )
        return {name: tokens[name] for name in KNOWN if name in tokens}

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """`text`, and `text_pair` for a pair."""
        return (Column("text"), Column("text_pair")) if pair else (Column("text"),)

    pipeline_columns = columns

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """Texts, or pairs if the table has two columns of them."""
        texts = [str(text) for text in table["text"]]
        if "text_pair" not in table:
            return texts
        return list(zip(texts, (str(text) for text in table["text_pair"]), strict=True))


def _wrong_rows(pair: bool) -> RpmaskError:
    if pair:
        return RpmaskError(
            "This model reads pairs of texts, and the rows are single texts.",
            "Give two texts per row: (text, text_pair), or a line with a tab between them.",
        )
    return RpmaskError(
        "This model reads single texts, and the rows are pairs of texts.",
        "Give one text per row: no 'text_pair', and no tab in a line.",
    )
