"""Head `tokens`: a tag for every word, such as a named entity or a part of speech.

The first token of a word carries its tag. Words beyond the longest input, and words without a token, are
answered with `O`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads import classes
from rpmask.heads.entities import OUTSIDE, entity_scores
from rpmask.heads.head import Array, Column, Head, Units
from rpmask.heads.outputs import checked
from rpmask.heads.words import NO_WORD, align, of_words
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.words import mark_entities

if TYPE_CHECKING:
    import torch

    from rpmask.heads.splits import Split


class Words:
    """A row is a list of words; of a text, the words between its spaces."""

    are_text = True
    pipeline = "TokenClassificationPipeline"
    pipeline_task = "token-classification"
    pipeline_answers: tuple[Column, ...] = ()
    packages: tuple[str, ...] = ()

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """Tokenise a split."""
        from rpmask.heads.splits import Encoded

        tags = [np.asarray(each, dtype=np.int64) for each in rows["tags"][:]]
        labels = np.empty(len(tags), dtype=object)  # (rows,), of (words,)
        labels[:] = tags
        features = align(rows["tokens"][:], tags, reader, max_length)
        return Encoded.of(features, labels, reader, max_length)

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """Token ids, padded to the longest row; `labels` marks the first token of every word."""
        from rpmask.heads.splits import Encoded

        words = [of_words(row) for row in rows]
        tags = [np.full(len(row), classes.UNKNOWN_UNIT) for row in words]
        features = align(words, tags, reader, max_length)
        made = Encoded.of(features, np.arange(len(words)), reader, max_length)
        return dict(made.batch(np.arange(len(words))))

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """`tokens`, a list of words."""
        return (Column("tokens", many=True),)

    def pipeline_columns(self, pair: bool | None) -> tuple[Column, ...]:
        """`text`, which the pipeline divides into words itself."""
        return (Column("text"),)

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """The lists of words."""
        return [[str(word) for word in words] for words in table["tokens"]]


class Tags(classes.ClassAnswers):
    """A word is one unit, and its answer a tag."""

    unit = "word"
    metrics: tuple[str, ...] = ("accuracy",)

    def units(self, outputs: Any, labels: torch.Tensor) -> Units:
        """The first token of every word."""
        marked = labels != NO_WORD  # (rows, tokens)
        targets = labels[marked]
        targets = targets.masked_fill(targets == classes.UNKNOWN_UNIT, classes.UNKNOWN)
        return Units(outputs.logits[marked], targets, marked.nonzero()[:, 0])

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """The likeliest tag of every word of every row, and its own."""
        best = checked(spec, logits, self.unit).argmax(axis=1)
        missing = spec.labels.index(OUTSIDE) if OUTSIDE in spec.labels else -1
        predictions = [np.full(len(row), missing) for row in labels]
        ends = np.searchsorted(examples, np.arange(len(labels)), side="right")
        begins = np.searchsorted(examples, np.arange(len(labels)), side="left")
        for row, begin, end in zip(predictions, begins, ends, strict=True):
            row[: end - begin] = best[begin:end]
        return predictions, list(labels)

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The most frequent tag."""
        most = np.bincount(np.concatenate(list(labels))).argmax()
        return [np.full(len(row), most) for row in labels]

    def score(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """Entities as conlleval counts them, and the share of words with the right tag."""
        if not len(references):
            raise RpmaskError(
                f"There are no rows to score task '{spec.name}' on.",
                "The split must not be empty.",
            )
        ours, theirs = (np.concatenate([*rows]) for rows in (predictions, references))
        values = {"accuracy": float(np.mean(ours == theirs))}
        if mark_entities(spec.labels):
            named = [
                [_names(row, spec.labels) for row in rows] for rows in (predictions, references)
            ]
            values |= entity_scores(*named)
        return {name: values[name] for name in spec.metrics}

    def report(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The same."""
        return self.score(spec, predictions, references)

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """`{tokens, tags, scores}`: the words of a row, the likeliest tag of each, its probability."""
        for row, marked, words in zip(logits, marks != NO_WORD, map(of_words, rows), strict=True):
            shares, best = row[marked].softmax(dim=-1).max(dim=-1)
            cut = len(words) - len(best)
            yield {
                "tokens": words,
                "tags": [*(labels[i] for i in best.tolist()), *[OUTSIDE] * cut],
                "scores": [*shares.tolist(), *[0.0] * cut],
            }

    def expected(self, labels: Sequence[str]) -> str:
        """Their names."""
        return ", ".join(labels)

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """The indices of both rows of tags."""
        if not isinstance(label, list) or len(label) != len(answer["tags"]):
            raise ValueError(label)
        return (
            np.array([classes.index(tag, names, outputs) for tag in label]),
            np.array([classes.index(tag, names, outputs) for tag in answer["tags"]]),
        )

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """The words, their tags and the tags' probabilities."""
        words = (Column("tokens", many=True), Column("tags", many=True))
        return (*words, Column("scores", "double", many=True))


def _names(row: Array, labels: Sequence[str]) -> list[str]:
    return [labels[index] if index >= 0 else OUTSIDE for index in row.tolist()]


TOKENS = Head("tokens", "ForTokenClassification", Words(), Tags())
