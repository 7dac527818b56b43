"""A loaded model of any form: logits of batches, labels of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy.manifest import Manifest
from rpmask.errors import RpmaskError
from rpmask.train.models import load_tokenizer

BATCH_SIZE = 32
Row = str | tuple[str, str]
Answer = Callable[[dict[str, torch.Tensor]], torch.Tensor]


def on_cpu(model: nn.Module) -> Answer:
    """A function from a batch to the model's fp32 logits."""

    def answer(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return model(**batch).logits.float()

    return answer


def on_gpu(model: nn.Module) -> Answer:
    """The same for a model on the GPU; batches and logits are on the CPU."""

    def answer(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: value.to("cuda") for name, value in batch.items()}
        return model(**inputs).logits.float().cpu()

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
        self.sparse_kernels = sparse_kernels
        self.answer = answer

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of a batch of token ids: (rows, classes)."""
        with torch.inference_mode():
            return self.answer(batch)

    def predict(self, rows: Sequence[Row], batch_size: int = BATCH_SIZE) -> list[dict[str, Any]]:
        """`{label, score}` for each text or pair of texts; `{score}` for a regression."""
        return [
            answer
            for start in range(0, len(rows), batch_size)
            for answer in self._predict(rows[start : start + batch_size])
        ]

    def encode(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Token ids of texts or pairs, padded to the longest."""
        if self.manifest.inputs != "text":
            raise RpmaskError(
                "This model reads images, not texts.", "Use `logits` with a batch of pixels."
            )
        pairs = [isinstance(row, tuple) for row in rows]
        if any(pairs) != all(pairs):
            raise RpmaskError(
                "Some rows are single texts and others are pairs.", "Give rows of one kind."
            )
        if self.manifest.pair is not None and any(pairs) != self.manifest.pair:
            raise _wrong_rows(self.manifest)
        first = [row[0] if isinstance(row, tuple) else row for row in rows]
        second = [row[1] for row in rows if isinstance(row, tuple)] or None
        tokens = self.tokenizer(
            first,
            second,
            truncation=True,
            max_length=self.manifest.max_length,
            padding=True,
            return_tensors="pt",
        )
        known = ("input_ids", "attention_mask", "token_type_ids")
        return {name: tokens[name] for name in known if name in tokens}

    def _predict(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        logits = self.logits(self.encode(rows)).float()
        if self.manifest.kind == "regression":
            yield from ({"score": float(value)} for value in logits[:, 0])
            return
        for row in logits.softmax(dim=-1):
            best = int(row.argmax())
            labels = self.manifest.labels
            label = labels[best] if best < len(labels) else str(best)
            yield {"label": label, "score": float(row[best])}


def _wrong_rows(manifest: Manifest) -> RpmaskError:
    if manifest.pair:
        return RpmaskError(
            "This model reads pairs of texts, and the rows are single texts.",
            "Give two texts per row: (text, text_pair), or a line with a tab between them.",
        )
    return RpmaskError(
        "This model reads single texts, and the rows are pairs of texts.",
        "Give one text per row: no 'text_pair', and no tab in a line.",
    )


def load_reader(folder: Path, manifest: Manifest) -> Any:
    """The tokenizer of the model, or the image processor of an image model."""
    if manifest.inputs == "image":
        from rpmask.train.models import load_image_processor

        return load_image_processor(str(folder))
    return load_tokenizer(str(folder))
