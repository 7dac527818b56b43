"""What a teacher answers: batch by batch, or, where its answers can be kept, once a row or a step.

A frozen network says the same of a row in every epoch, so its logits and hidden states are kept while a
training lasts. Attention maps grow with the square of a row's tokens and are asked for every time, as is
everything where the states would take more than `KEPT_BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from rpmask.train.batches import Encoded, Split
from rpmask.train.plan import Distillation

KEPT_BYTES = 2 << 30
REMEMBERED_BYTES = 1 << 29  # of a race's steps, in each of its workers
AT_ONCE = 64  # rows asked about together
ROW = "row"  # the name under which a batch says which rows of its split it holds


class Numbered(torch.utils.data.Dataset[dict[str, Any]]):
    """A split whose rows say which they are."""

    def __init__(self, split: Split) -> None:
        self._split: Any = split
        self.lengths = [int(length) for length in split.lengths]

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self._split[index], ROW: index}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch, with its rows' numbers if they have some: those to evaluate on have none."""
        batch: dict[str, torch.Tensor] = self._split.collate(rows)
        if ROW in rows[0]:
            batch[ROW] = torch.tensor([row[ROW] for row in rows])
        return batch


class Teacher(Protocol):
    """Answers a batch with what has the names of transformers' outputs."""

    def __call__(self, rows: torch.Tensor, inputs: dict[str, torch.Tensor], /) -> Any: ...


class Asked:
    """A teacher that is asked about every batch."""

    def __init__(self, network: nn.Module, terms: Distillation) -> None:
        self._network, self._outputs = network, terms.outputs

    @torch.no_grad()
    def __call__(self, _: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Any:
        return self._network(**inputs, **self._outputs)


@dataclass(frozen=True)
class Answer:
    """A kept answer to a batch; what is padded may be zero."""

    logits: torch.Tensor  # (batch, labels)
    hidden_states: tuple[torch.Tensor, ...]  # of each layer (batch, tokens, width)
    attentions: tuple[torch.Tensor, ...] = ()  # of each layer (batch, heads, from, to)

    @property
    def bytes(self) -> int:
        """What it takes to keep it."""
        return sum(t.numel() * t.element_size() for t in self._tensors())

    def to(self, device: torch.device | str) -> Answer:
        """The same on this device."""
        return Answer(
            self.logits.to(device),
            tuple(layer.to(device) for layer in self.hidden_states),
            tuple(layer.to(device) for layer in self.attentions),
        )

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return (self.logits, *self.hidden_states, *self.attentions)


class Remembered:
    """A teacher whose answer to the batch of a step is kept: every candidate of a race meets the same one."""

    def __init__(self, network: nn.Module, terms: Distillation) -> None:
        self._asked, self._device = Asked(network, terms), next(network.parameters()).device
        self._answers: dict[int, Answer] = {}
        self._left = REMEMBERED_BYTES

    def __call__(self, step: int, inputs: dict[str, torch.Tensor]) -> Answer:
        """As it was answered before, or asked; kept off the device."""
        if step in self._answers:
            return self._answers[step].to(self._device)
        said = self._asked(torch.empty(0), inputs)
        answer = Answer(
            said.logits,
            getattr(said, "hidden_states", None) or (),  # a sequence-to-sequence model has none
            getattr(said, "attentions", None) or (),
        )
        if answer.bytes <= self._left:
            self._left -= answer.bytes
            self._answers[step] = answer.to("cpu")
        return answer


@dataclass(frozen=True)
class Kept:
    """Answers to every row of a split; the states of their real tokens lie row after row."""

    logits: torch.Tensor  # (rows, labels)
    states: torch.Tensor  # (tokens of all rows, layers, width)
    starts: np.ndarray  # (rows + 1,), a row's place among the states

    def __call__(self, rows: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Answer:
        asked, real = rows.numpy(force=True), inputs["attention_mask"].bool()
        states = self.states.new_zeros((*real.shape, *self.states.shape[1:]), device=real.device)
        states[real] = self.states[self.places(asked)].to(real.device)
        return Answer(self.logits[asked].to(real.device), states.unbind(2))

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where the states of these rows lie, one row after another."""
        return np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])


def keep_answers(network: nn.Module, data: Split, terms: Distillation) -> Kept | None:
    """Ask about every row, shortest first; None if the answers cannot be kept."""
    if not isinstance(data, Encoded) or "attention_mask" not in data.pad or terms.attention:
        return None
    if data.pad_left:
        return None  # a token's position, and so its state, may depend on the padding before it
    asked, device = Asked(network, terms), next(network.parameters()).device
    starts = np.concatenate([[0], np.cumsum(data.lengths)])
    order = np.argsort(data.lengths, kind="stable")
    kept = None
    for begin in range(0, len(order), AT_ONCE):
        rows = order[begin : begin + AT_ONCE]
        numbers = torch.from_numpy(rows)
        inputs = {name: value.to(device) for name, value in data.batch(rows).items()}
        del inputs["labels"]
        answer, real = asked(numbers, inputs), inputs["attention_mask"].bool()
        layers = getattr(answer, "hidden_states", None) or ()
        if any(layer.shape[:2] != real.shape for layer in layers):
            return None  # a network that shortens its input on the way
        # (batch, tokens, layers, width); without layers to learn from, none of no width
        states = torch.stack(layers, dim=2) if layers else real.new_empty((*real.shape, 0, 0))
        if kept is None:
            size = (len(data), answer.logits.shape[-1])
            place = (int(starts[-1]), *states.shape[2:])
            if np.prod(place) * states.element_size() > KEPT_BYTES:
                return None
            kept = Kept(
                torch.empty(size, dtype=answer.logits.dtype),
                torch.empty(place, dtype=states.dtype),
                starts,
            )
        kept.logits[numbers] = answer.logits.cpu()
        kept.states[kept.places(rows)] = states[real].cpu()
    return kept
