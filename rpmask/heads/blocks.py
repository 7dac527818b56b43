"""Text as blocks of tokens, all as long as the longest input.

Passages that follow one another in a text are read as one; where one does not follow, an end token divides
them. The tokens are then cut into blocks, and those left over at the end are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads.head import Array, Column
from rpmask.tasks.passages import CONTINUES, ROW, TEXT
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from rpmask.heads.splits import Split


@dataclass(frozen=True)
class Block:
    """The tokens of a block, and how many bytes of text all but the first of them stand for."""

    tokens: Array  # (tokens,)
    bytes: int


class Blocks:
    """A row of a split is a block; a user's row is a text to continue."""

    are_text = True
    pipeline = "TextGenerationPipeline"
    pipeline_task = "text-generation"
    pipeline_answers: tuple[Column, ...] = ()
    packages: tuple[str, ...] = ()

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """Tokenise a split and cut it into blocks."""
        from rpmask.heads.splits import Encoded

        tokens, ends = _tokenised(list(_stretches(rows)), reader)
        count = len(tokens) // max_length
        if not count:
            raise RpmaskError(
                f"The text has {len(tokens):,} tokens, fewer than one block of {max_length:,}.",
                "Give a longer text, or a lower --max-length.",
            )
        blocks = np.empty(count, dtype=object)
        for i, start in enumerate(range(0, count * max_length, max_length)):
            last = start + max_length - 1
            blocks[i] = Block(tokens[start : last + 1], int(ends[last] - ends[start]))
        features = [{"input_ids": block.tokens, "labels": block.tokens} for block in blocks]
        logit_bytes = 4 * len(reader) * max_length
        return Encoded.of(features, blocks, reader, max_length, logit_bytes=logit_bytes)

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """Token ids of texts to continue, padded to the longest."""
        found = reader([prompt(row) for row in rows], padding=True, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """`text`."""
        return (Column("text"),)

    pipeline_columns = columns

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """The texts."""
        return [str(text) for text in table["text"]]


def prompt(row: Any) -> str:
    """A user's row, if it is a text that can be continued."""
    if not isinstance(row, str):
        raise RpmaskError(
            "This model continues texts, and a row is not a single text.", 'Give {"text": "..."}.'
        )
    if not row:
        raise RpmaskError("A row is an empty text.", "Leave the row out, or give it a word.")
    return row


def _stretches(rows: Any) -> Iterator[str]:
    """The texts of passages that follow one another, joined."""
    parts: list[str] = []
    before = None
    for text, number, follows in zip(rows[TEXT], rows[ROW], rows[CONTINUES], strict=True):
        if parts and not (follows and before is not None and number == before + 1):
            yield "".join(parts)
            parts = []
        parts.append(text)
        before = number
    if parts:
        yield "".join(parts)


def _tokenised(texts: Sequence[str], reader: Any) -> tuple[Array, Array]:
    """The tokens of the texts, an end token between them, and the bytes of text up to each token's end."""
    if not reader.is_fast:
        raise RpmaskError(
            f"The tokenizer {type(reader).__name__} does not say which characters a token stands for.",
            "Use a model with a fast tokenizer (tokenizer.json).",
        )
    if len(texts) > 1 and reader.eos_token_id is None:
        raise RpmaskError(
            "The tokenizer has no end token to put between documents.",
            'Give it one: tokenizer.eos_token = "...", then tokenizer.save_pretrained(folder).',
        )
    tokens: list[Array] = []
    ends: list[Array] = []
    read = 0  # bytes
    for i, text in enumerate(texts):
        if i:
            tokens.append(np.array([reader.eos_token_id], dtype=np.int32))
            ends.append(np.array([read]))
        found = reader(text, return_offsets_mapping=True, verbose=False)
        tokens.append(np.asarray(found["input_ids"], dtype=np.int32))
        sizes = _byte_counts(text)
        places = np.asarray([end for _, end in found["offset_mapping"]], dtype=np.int64)
        ends.append(read + sizes[np.maximum.accumulate(places)])
        read += int(sizes[-1])
    return np.concatenate(tokens), np.concatenate(ends)


def _byte_counts(text: str) -> Array:
    """The bytes in UTF-8 of the first n characters, for every n: (characters + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    sizes = 1 + (points > 0x7F) + (points > 0x7FF).astype(np.int64) + (points > 0xFFFF)
    return np.concatenate([[0], np.cumsum(sizes)])
