"""Head `spans`: the words of a text that answer a question, if any do.

A row is a window of the text (`heads/windows.py`). It has two units, the start and the end of the answer; the
classes of each are the window's tokens. A window without the answer points to the token for no answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads import classes
from rpmask.heads.best_spans import COUNT, best_spans, shares
from rpmask.heads.head import Array, Column, Head, LogitTerms, Units
from rpmask.heads.outputs import IMPOSSIBLE, check_finite, logits_of
from rpmask.heads.squad_scores import normalised, squad_scores
from rpmask.heads.windows import (
    END,
    PADDING,
    START,
    Question,
    marks,
    read_windows,
    unmarked,
    with_windows,
)
from rpmask.tasks.questions import ANSWERS, CONTEXT, ENDS_OR_NONE, ID, METRICS, QUESTION, STARTS
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch

    from rpmask.heads.splits import Split


class Windows:
    """A row that a user gives is a question and its text: a pair, or a dict with `question` and `context`."""

    are_text = True
    pipeline = ""  # transformers 5 has none for questions
    pipeline_task = "question-answering"
    pipeline_answers: tuple[Column, ...] = ()
    packages: tuple[str, ...] = ("numpy", "scipy", "pandas")

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """Tokenise a split; each question becomes one window or several."""
        from rpmask.heads.splits import Encoded

        contexts, answers = rows[CONTEXT][:], rows[ANSWERS][:]
        known = [
            (texts[0], starts[0]) if texts else None
            for texts, starts in zip(answers, rows[STARTS][:], strict=True)
        ]
        features, windows, owners = read_windows(rows[QUESTION][:], contexts, reader, max_length)
        for feature, window, owner in zip(features, windows, owners, strict=True):
            feature["labels"] = marks(window, known[owner])
        questions = [Question(c, tuple(a)) for c, a in zip(contexts, answers, strict=True)]
        marked = with_windows(questions, windows, owners)
        return Encoded.of(features, marked, reader, max_length, examples=owners)

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """Token ids of all windows, padded to the longest; `labels` are the questions with their windows."""
        from rpmask.heads.splits import Encoded

        pairs = [of_question(row) for row in rows]
        contexts = [context for _, context in pairs]
        questions = [question for question, _ in pairs]
        features, windows, owners = read_windows(questions, contexts, reader, max_length)
        for feature, window in zip(features, windows, strict=True):
            feature["labels"] = unmarked(window)
        made = Encoded.of(features, owners, reader, max_length)
        known = with_windows([Question(context) for context in contexts], windows, owners)
        batch = made.batch(np.arange(len(windows)))
        return {**batch, "labels": Asked(batch["labels"], known, owners)}

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """`question` and `context`."""
        return (Column(QUESTION), Column(CONTEXT))

    pipeline_columns = columns

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """The questions with their texts."""
        both = zip(table[QUESTION], table[CONTEXT], strict=True)
        return [(str(question), str(context)) for question, context in both]


@dataclass(frozen=True)
class Asked:
    """What a batch of a user's questions needs to be answered."""

    marks: torch.Tensor  # (windows, tokens)
    questions: Array  # (questions,), of objects
    owners: Array  # (windows,)


class Ends(classes.ClassAnswers):
    """A window has two units, the start and the end of its answer. A class is one of its tokens."""

    unit = "span end"
    metrics: tuple[str, ...] = METRICS

    def units(self, outputs: Any, labels: torch.Tensor) -> Units:
        """The start and the end of every window, among its tokens without padding."""
        import torch

        real = labels != PADDING  # (windows, tokens)
        order = (~real).int().argsort(dim=1, stable=True)  # real tokens first
        real, marked = real.gather(1, order), labels.gather(1, order)
        logits = logits_of(outputs).float().gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
        logits = logits.masked_fill(~real.unsqueeze(-1), IMPOSSIBLE).transpose(1, 2)
        targets = torch.stack([_place(marked, bit) for bit in (START, END)], dim=1)
        owners = torch.arange(len(labels), device=labels.device).repeat_interleave(2)
        return Units(logits.flatten(0, 1), targets.flatten(), owners)

    def logit_term(self, student: Units, teacher: Units, terms: LogitTerms) -> torch.Tensor:
        """Divergence or cross-entropy from the teacher's softened shares of the tokens, without padding."""
        found = super().logit_term(student, teacher, terms)
        if terms.logit_loss == "cross-entropy":  # a mean over units and classes
            found = found * teacher.logits.numel() / (teacher.logits > IMPOSSIBLE / 2).sum()
        return found

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """The best answer to every question over its windows, and the questions."""
        check_finite(logits, self.unit)
        pairs = zip(labels, _by_question(logits, examples, len(labels)), strict=True)
        none = spec.labels == ENDS_OR_NONE
        return [best_spans(*pair, 1, none=none)[0].text for pair in pairs], list(labels)

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The answer that most questions have, or none."""
        known = Counter(
            answer
            for question in labels
            for answer in {normalised(text) for text in question.answers or ("",)}
        )
        return [known.most_common(1)[0][0]] * len(labels)

    def score(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """SQuAD's F1 and exact match."""
        if not len(references):
            raise RpmaskError(
                f"There are no rows to score task '{spec.name}' on.",
                "The split must not be empty.",
            )
        answers = [question.answers for question in references]
        values = squad_scores(predictions, answers, none=spec.labels == ENDS_OR_NONE)
        return {name: values[name] for name in spec.metrics}

    def report(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The same."""
        return self.score(spec, predictions, references)

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """`{answer, score}`: the best answer and its probability among the 20 best; an empty one is none.

        A row's `id` is repeated.
        """
        units = self.units(SimpleNamespace(logits=logits), marks.marks)
        ends = _by_question(units.logits.numpy(), marks.owners.repeat(2), len(rows))
        none = tuple(labels) == ENDS_OR_NONE
        for row, question, found in zip(rows, marks.questions, ends, strict=True):
            spans = best_spans(question, found, COUNT, none=none)
            named = {ID: row[ID]} if isinstance(row, dict) and ID in row else {}
            yield {**named, "answer": spans[0].text, "score": float(shares(spans)[0])}

    def expected(self, labels: Sequence[str]) -> str:
        """The right answers."""
        return '{"text": ["..."]}'

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """The question with its right answers, in the hub's or SQuAD's own form, and the answer."""
        if isinstance(label, dict):
            label = label.get("text")
        if not isinstance(label, list):
            raise ValueError(label)
        given = [each.get("text") if isinstance(each, dict) else each for each in label]
        texts = tuple(text for text in given if isinstance(text, str))
        if len(texts) < len(given):
            raise ValueError(label)
        return Question("", texts), answer["answer"]

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """An answer and its score."""
        return (Column("answer"), Column("score", "double"))


def of_question(row: Any) -> tuple[str, str]:
    """A row's question and its text."""
    if isinstance(row, dict):
        row = row.get(QUESTION), row.get(CONTEXT)
    if not isinstance(row, tuple) or not all(isinstance(part, str) for part in row):
        raise RpmaskError(
            "This model answers questions about a text, and a row is not both.",
            'Give {"question": "...", "context": "..."}.',
        )
    question, context = row
    if not context.strip() or not question.strip():
        raise RpmaskError("A row's question or its context is empty.", "Leave the row out.")
    return question, context


def _place(marked: torch.Tensor, bit: int) -> torch.Tensor:
    """The token with this bit in every row; UNKNOWN if there is none."""
    import torch

    found = (marked > 0) & (marked & bit > 0)  # (windows, tokens)
    places = found.int().argmax(dim=1)
    return torch.where(found.any(dim=1), places, classes.UNKNOWN)


def _by_question(logits: Array, examples: Array, count: int) -> list[Array]:
    """The logits of each question: (windows, 2, tokens)."""
    begins = np.searchsorted(examples, np.arange(count + 1))
    return [logits[a:b].reshape(-1, 2, logits.shape[1]) for a, b in pairwise(begins)]


SPANS = Head("spans", "ForQuestionAnswering", Windows(), Ends())
