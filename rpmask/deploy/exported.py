"""A loaded model of any form: logits of batches, labels of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy.manifest import Manifest
from rpmask.heads.continuation import NEW_TOKENS
from rpmask.heads.outputs import logits_of
from rpmask.heads.registry import head_of
from rpmask.train.models import positions, reader_of

BATCH_SIZE = 32
MARKS = "labels"  # in a batch: which of its tokens are units
Row = str | tuple[str, str] | list[str] | dict[str, str]
Answer = Callable[[dict[str, torch.Tensor]], torch.Tensor]


def on_cpu(model: nn.Module) -> Answer:
    """A function from a batch to the model's fp32 logits."""

    def answer(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return logits_of(model(**batch)).float()

    return answer


def on_gpu(model: nn.Module) -> Answer:
    """The same for a model on the GPU; batches and logits are on the CPU."""

    def answer(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: value.to("cuda") for name, value in batch.items()}
        return logits_of(model(**inputs)).float().cpu()

    return answer


class Exported:
    """The result of `rpmask.load`. module is None if another runtime computes."""

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Any,
        answer: Answer,
        *,
        module: nn.Module | None = None,
        sparse_kernels: tuple[str, ...] = (),
    ) -> None:
        self.manifest, self.tokenizer, self.module = manifest, tokenizer, module
        self.head = head_of(manifest)
        self.sparse_kernels = sparse_kernels
        self.answer = answer

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of a batch of token ids: (rows, classes)."""
        with torch.inference_mode():
            return self.answer(batch)

    def predict(
        self, rows: Sequence[Row], batch_size: int = BATCH_SIZE, new_tokens: int = NEW_TOKENS
    ) -> list[dict[str, Any]]:
        """The answer to each row, such as `{label, score}` for a text, or `{score}` for a regression.

        A language model continues a text by so many new tokens, or to its end.
        """
        if self.head.generate is not None and self.module is not None:
            longest = positions(self.module.config)
            answers = self.head.generate(self.module, self.tokenizer, rows, new_tokens, longest)
            return list(answers)
        return [
            answer
            for start in range(0, len(rows), batch_size)
            for answer in self._predict(rows[start : start + batch_size], batch_size)
        ]

    def encode(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Token ids of texts, pairs, lists of words or questions, padded to the longest."""
        batch = self._batch(rows)
        batch.pop(MARKS, None)
        return batch

    def _batch(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        said = self.manifest
        return self.head.inputs.batch(
            rows, self.tokenizer, pair=said.pair, max_length=said.max_length
        )

    def _predict(self, rows: Sequence[Row], batch_size: int) -> Iterator[dict[str, Any]]:
        batch = self._batch(rows)
        marks = batch.pop(MARKS, None)
        parts = [
            {name: values[start : start + batch_size] for name, values in batch.items()}
            for start in range(0, len(next(iter(batch.values()))), batch_size)
        ]  # several where a text is read in windows
        logits = torch.cat([self.logits(part).float() for part in parts])
        return self.head.answers.answer(logits, marks, rows, self.manifest.labels)


def load_reader(folder: Path, manifest: Manifest) -> Any:
    """The tokenizer of the model, or the image processor of an image model."""
    return reader_of(str(folder), head_of(manifest))
