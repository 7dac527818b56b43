"""The dense model as a teacher: its outputs, cached per row or per step.

The teacher is frozen, so its logits and hidden states for a row are the same in every epoch and are kept
in memory while a training lasts. Attention maps grow with the square of a row's tokens and are computed every
time, as is everything where the cache would take more than `KEPT_BYTES`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.heads.outputs import logits_of
from rpmask.heads.splits import Encoded, Split
from rpmask.train.plan import Distillation

KEPT_BYTES = 2 << 30
REMEMBERED_BYTES = 1 << 29  # for the steps of a race, in each of its workers
CHUNK_ROWS = 64  # that the teacher computes at once to fill the cache
ROW = "row"  # the key of a batch's row numbers


class Numbered(torch.utils.data.Dataset[dict[str, Any]]):
    """A split whose rows carry their number."""

    def __init__(self, split: Split) -> None:
        self._split: Any = split
        self.lengths = [int(length) for length in split.lengths]

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self._split[index], ROW: index}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch, with the row numbers if there are any: rows of the selection split have none."""
        batch: dict[str, torch.Tensor] = self._split.collate(rows)
        if ROW in rows[0]:
            batch[ROW] = torch.tensor([row[ROW] for row in rows])
        return batch


class LiveTeacher:
    """A teacher that computes every batch."""

    def __init__(self, network: nn.Module, terms: Distillation) -> None:
        self._network, self._outputs = network, terms.outputs

    @torch.no_grad()
    def __call__(self, _: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Any:
        return self._network(**inputs, **self._outputs)


@dataclass(frozen=True)
class Outputs:
    """Cached outputs for a batch. Values at padding may be zero."""

    logits: torch.Tensor  # (batch, labels)
    hidden_states: tuple[torch.Tensor, ...]  # per layer (batch, tokens, width)
    attentions: tuple[torch.Tensor, ...] = ()  # per layer (batch, heads, from, to)

    @property
    def bytes(self) -> int:
        """The memory they take."""
        tensors = (self.logits, *self.hidden_states, *self.attentions)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def to(self, device: torch.device | str) -> Outputs:
        """Move them to a device."""
        return Outputs(
            self.logits.to(device),
            tuple(layer.to(device) for layer in self.hidden_states),
            tuple(layer.to(device) for layer in self.attentions),
        )


class StepCachedTeacher:
    """A teacher whose outputs are cached per step: all candidates of a race see the same batch in a step."""

    def __init__(self, network: nn.Module, terms: Distillation) -> None:
        self._live, self._device = LiveTeacher(network, terms), next(network.parameters()).device
        self._cache: dict[Hashable, Outputs] = {}  # on the CPU
        self._bytes_left = REMEMBERED_BYTES

    def __call__(self, step: Hashable, inputs: dict[str, torch.Tensor]) -> Outputs:
        if step in self._cache:
            return self._cache[step].to(self._device)
        computed = self._live(torch.empty(0), inputs)
        outputs = Outputs(
            logits_of(computed),
            getattr(computed, "hidden_states", None) or (),  # a sequence-to-sequence model has none
            getattr(computed, "attentions", None) or (),
        )
        if outputs.bytes <= self._bytes_left:
            self._bytes_left -= outputs.bytes
            self._cache[step] = outputs.to("cpu")
        return outputs


@dataclass(frozen=True)
class RowCachedTeacher:
    """The teacher's outputs for every row of a split, without padding."""

    logits: torch.Tensor  # (rows, labels), or (tokens of all rows, labels)
    states: torch.Tensor  # (tokens of all rows, layers, width)
    starts: np.ndarray  # (rows + 1,), where the states of a row begin
    per_token: bool  # whether logits are

    def __call__(self, rows: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Outputs:
        numbers, real = rows.numpy(force=True), inputs["attention_mask"].bool()
        places = self.places(numbers)
        states = _at_tokens(self.states[places], real)
        if self.per_token:
            return Outputs(_at_tokens(self.logits[places], real), states.unbind(2))
        return Outputs(self.logits[numbers].to(real.device), states.unbind(2))

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Indices of the states of these rows, one row after another."""
        return np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])


def _at_tokens(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Values of the real tokens, one row after another, at their places in a padded batch; else zero."""
    padded = values.new_zeros((*real.shape, *values.shape[1:]), device=real.device)
    padded[real] = values.to(real.device)
    return padded


def cache_rows(network: nn.Module, data: Split, terms: Distillation) -> RowCachedTeacher | None:
    """Compute the teacher's outputs for every row, shortest first; None if they cannot be cached."""
    if not isinstance(data, Encoded) or "attention_mask" not in data.pad or terms.attention:
        return None
    if data.pad_left:
        return None  # a token's position, and so its state, may depend on the padding before it
    live, device = LiveTeacher(network, terms), next(network.parameters()).device
    starts = np.concatenate([[0], np.cumsum(data.lengths)])
    order = np.argsort(data.lengths, kind="stable")
    cache = None
    for begin in range(0, len(order), CHUNK_ROWS):
        rows = order[begin : begin + CHUNK_ROWS]
        numbers = torch.from_numpy(rows)
        inputs = {name: value.to(device) for name, value in data.batch(rows).items()}
        del inputs["labels"]
        outputs, real = live(numbers, inputs), inputs["attention_mask"].bool()
        found = logits_of(outputs)
        layers = getattr(outputs, "hidden_states", None) or ()
        if any(layer.shape[:2] != real.shape for layer in layers):
            return None  # the network shortens its input on the way
        # (batch, tokens, layers, width); no layers of no width if hidden states are not learned
        states = torch.stack(layers, dim=2) if layers else real.new_empty((*real.shape, 0, 0))
        if cache is None:
            shape = (int(starts[-1]), *states.shape[2:])
            if np.prod(shape) * states.element_size() > KEPT_BYTES:
                return None
            per_token = found.ndim == len(real.shape) + 1
            answers = int(starts[-1]) if per_token else len(data)
            logits = found.new_empty(answers, found.shape[-1], device="cpu")
            empty = torch.empty(shape, dtype=states.dtype)
            cache = RowCachedTeacher(logits, empty, starts, per_token)
        places = cache.places(rows)
        if cache.per_token:
            cache.logits[places] = found[real].cpu()
        else:
            cache.logits[numbers] = found.cpu()
        cache.states[places] = states[real].cpu()
    return cache
