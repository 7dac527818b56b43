"""Head `language`: the next token of a text.

A unit is a token that is predicted from those before it in its block; an example is a block. A vocabulary is
too wide to keep the logits of a split. Perplexity is the exponential of the mean loss of a token, and bits a
byte is that loss for each byte of text, which models with other tokenizers can be compared by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.heads import classes
from rpmask.heads.blocks import Blocks
from rpmask.heads.continuation import continuations
from rpmask.heads.head import Array, Column, Head, Units
from rpmask.heads.outputs import check_finite, mean_by_example
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch


class NextTokens(classes.ClassAnswers):
    """A token is one unit, and its answer the next token."""

    keeps_logits = False
    lower_is_better = True
    unit = "token"
    metrics: tuple[str, ...] = ("perplexity", "bits_per_byte")

    def config(self, spec: TaskSpec) -> dict[str, Any]:
        """Nothing: the vocabulary is the model's own."""
        return {}

    def is_config(self, config: Mapping[str, Any], spec: TaskSpec) -> bool:
        """Every configuration is."""
        return True

    def labels(self, config: Any) -> tuple[str, ...]:
        """None: the tokenizer names the tokens."""
        return ()

    def units(self, outputs: Any, labels: torch.Tensor) -> Units:
        """Every token but the first of its block."""
        import torch

        logits, targets = outputs.logits[:, :-1], labels[:, 1:]
        targets = targets.masked_fill(targets == classes.UNKNOWN_UNIT, classes.UNKNOWN)
        rows = torch.arange(len(targets), device=targets.device)
        examples = rows.repeat_interleave(targets.shape[1])
        return Units(logits.flatten(0, 1), targets.flatten(), examples)

    def predicted(
        self, spec: TaskSpec, logits: Array, labels: Array, examples: Array
    ) -> tuple[Any, Any]:
        """The mean loss of every block, and the block."""
        import torch

        targets = np.concatenate([block.tokens[1:] for block in labels]).astype(np.int64)
        units = Units(torch.from_numpy(np.asarray(logits)), torch.from_numpy(targets))
        return mean_by_example(self.losses(units).numpy(), examples, len(labels)), labels

    def constant(self, spec: TaskSpec, labels: Array) -> Any:
        """The losses of a model that always answers with the frequencies of the blocks' own tokens."""
        targets = [block.tokens[1:] for block in labels]
        _, place, counts = np.unique(
            np.concatenate(targets), return_inverse=True, return_counts=True
        )
        losses = -np.log(counts / counts.sum())[place]
        ends = np.cumsum([len(part) for part in targets])
        return np.array([part.mean() for part in np.split(losses, ends[:-1])])

    def score(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """Perplexity and bits a byte of blocks, from the mean loss of each. All have as many tokens."""
        losses = np.asarray(predictions, dtype=np.float64)
        if not len(losses):
            raise RpmaskError(
                f"There are no blocks to score task '{spec.name}' on.",
                "The split must not be empty.",
            )
        check_finite(losses[:, None], "block")
        nats = sum(
            loss * (len(block.tokens) - 1) for loss, block in zip(losses, references, strict=True)
        )
        size = sum(block.bytes for block in references)
        values = {
            "perplexity": float(np.exp(losses.mean())),
            "bits_per_byte": float(nats / np.log(2) / max(1, size)),
        }
        return {name: values[name] for name in spec.metrics}

    def report(self, spec: TaskSpec, predictions: Any, references: Any) -> dict[str, float]:
        """The same."""
        return self.score(spec, predictions, references)

    def answer(
        self, logits: torch.Tensor, marks: Any, rows: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Refused: a continuation takes a pass for every token, which `continuations` makes."""
        raise RpmaskError(
            "A text is continued token by token, which this form of the model does not do.",
            "Export it as packed, csr or dense.",
        )

    def expected(self, labels: Sequence[str]) -> str:
        """A text to continue has none."""
        return "no label"

    def labelled(
        self, label: Any, answer: Mapping[str, Any], names: Sequence[Sequence[str]], outputs: int
    ) -> tuple[Any, Any]:
        """None: a continuation has no label."""
        raise ValueError(label)

    def answer_columns(self, labels: bool) -> tuple[Column, ...]:
        """The text and its continuation."""
        return (Column("text"), Column("continuation"))


LANGUAGE = Head(
    "language",
    "ForCausalLM",
    Blocks(),
    NextTokens(),
    endings=("LMHeadModel",),
    pretrained=True,
    joins_rows=True,
    generate=continuations,
)
