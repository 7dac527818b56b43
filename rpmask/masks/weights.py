"""Which weights of a model may be pruned, under which names, and the digest that identifies them.

What is pruned (section 4 of the randomized-mask paper): the matrices of the repeated blocks. The rule is
structural and needs no list of models: a Linear, Conv1D or Conv2d weight of the base model whose
path has a number in it sits in a repeated block; embeddings, norms, pooler, classifier and stem
convolution do not. Matrices that a block holds in another way, as XLNet's attention does, stay dense.
Pure torch; transformers is recognised by class name, never imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json


def base_of(model: nn.Module) -> nn.Module:
    """The headless network whose parameter names masks are written in."""
    base = getattr(model, "base_model", model)
    return base if isinstance(base, nn.Module) else model


@dataclass(frozen=True)
class Prunable:
    """One tensor that may be pruned. `kind` says how it is stored, `heads` how attention splits it.

    linear is (out, in), conv2d is (out, in, height, width); conv1d, the one GPT-2 uses, is (in, out).
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "linear"
    heads: int = 0

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def output_axis(self) -> int:
        return 1 if self.kind == "conv1d" else 0

    @property
    def input_axis(self) -> int:
        return 0 if self.kind == "conv1d" else 1


class WeightSource(Protocol):
    """Where weights come from, one tensor at a time, under canonical names."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, without reading it."""
        ...

    def load(self, name: str) -> torch.Tensor:
        """The tensor, on the CPU, in the type it is stored in."""
        ...


class TensorWeights:
    """Weights that are already in memory: a module, or a mapping of canonical names to tensors."""

    def __init__(self, weights: nn.Module | Mapping[str, torch.Tensor]) -> None:
        if isinstance(weights, nn.Module):
            weights = dict(base_of(weights).named_parameters(remove_duplicate=False))
        self._tensors = weights

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self._tensor(name).shape)

    def load(self, name: str) -> torch.Tensor:
        """The tensor itself, detached and on the CPU."""
        return self._tensor(name).detach().cpu()

    def _tensor(self, name: str) -> torch.Tensor:
        if name not in self._tensors:
            raise RpmaskError(
                f"The weights have no tensor '{name}'.",
                f"They hold, for example: {some_of(self._tensors)}.",
            )
        return self._tensors[name]


def find_prunable(
    model: nn.Module, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Prunable, ...]:
    """The tensors to prune, each parameter once, by rule unless patterns say otherwise.

    Patterns are shell patterns on canonical names. `include` replaces the rule: of every Linear, Conv1D
    and Conv2d weight of the base model, those that match. With a leading plus (`+pooler.*`) a
    pattern adds to the rule's choice instead. `exclude` then removes.
    """
    eligible = list(_matrices(model))
    names = [tensor.name for tensor in eligible]
    replacing = [pattern for pattern in include if not pattern.startswith("+")]
    adding = [pattern[1:] for pattern in include if pattern.startswith("+")]
    for pattern in (*replacing, *adding, *exclude):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RpmaskError(
                f"The pattern '{pattern}' matches no prunable tensor.",
                f"Names look like: {some_of(names)}.",
            )

    def chosen(name: str) -> bool:
        by_rule = _in_repeated_block(name) if not replacing else _matches(name, replacing)
        return (by_rule or _matches(name, adding)) and not _matches(name, exclude)

    found = tuple(tensor for tensor in eligible if chosen(tensor.name))
    if not found:
        raise RpmaskError(
            f"{type(model).__name__} has no tensor to prune.",
            "Loosen the patterns."
            if include or exclude
            else f"Name some with include patterns; it has: {some_of(names) or 'no matrices'}.",
        )
    return found


def left_dense(model: nn.Module, tensors: Sequence[Prunable]) -> dict[str, int]:
    """What the rule does not know how to prune in repeated blocks: weights of each, by name."""
    base = base_of(model)
    known = {id(base.get_parameter(tensor.name)) for tensor in tensors}
    known |= {id(module.weight) for module in base.modules() if isinstance(module, nn.Embedding)}
    return {
        name: parameter.numel()
        for name, parameter in base.named_parameters()
        if parameter.dim() > 1 and id(parameter) not in known and _in_repeated_block(name)
    }


def _matrices(model: nn.Module) -> Iterator[Prunable]:
    """Every Linear, Conv1D and Conv2d weight of the base model; a shared parameter under its first name."""
    base = base_of(model)
    heads = getattr(getattr(base, "config", None), "num_attention_heads", None)
    modules = list(base.named_modules())
    # A matrix tied to an embedding is an embedding first.
    seen = {id(module.weight) for _, module in modules if isinstance(module, nn.Embedding)}
    for path, module in modules:
        kind = _kind_of(module)
        if kind is None:
            continue
        weight = module.weight
        if not isinstance(weight, torch.Tensor) or id(weight) in seen:
            continue
        seen.add(id(weight))
        yield Prunable(
            name=f"{path}.weight" if path else "weight",
            shape=tuple(weight.shape),
            kind=kind,
            heads=heads if isinstance(heads, int) else 0,
        )


def is_matrix(module: nn.Module) -> bool:
    """Whether its weight multiplies vectors: Linear, or GPT-2's Conv1D, which is one transposed."""
    return _kind_of(module) in ("linear", "conv1d")


def _kind_of(module: nn.Module) -> str | None:
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv2d):
        return "conv2d"
    return "conv1d" if type(module).__name__ == "Conv1D" else None


def _in_repeated_block(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def some_of(names: Mapping[str, object] | Sequence[str], limit: int = 3) -> str:
    """A few names for an error message."""
    shown = list(names)[:limit]
    return ", ".join(shown) + (", ..." if len(names) > limit else "")


def tensor_digest(name: str, weight: torch.Tensor) -> str:
    """sha256 of one tensor's name, shape and values as float32, so that the stored type is no matter."""
    values = weight.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    digest = hashlib.sha256(canonical_json([name, list(weight.shape)]).encode())
    digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def combined_digest(tensor_digests: Mapping[str, str]) -> str:
    """One digest out of those of the tensors, whatever order they were computed in."""
    return hashlib.sha256(canonical_json(dict(tensor_digests)).encode()).hexdigest()


def weights_digest(source: WeightSource, tensors: Sequence[Prunable]) -> str:
    """The identity of the weights a mask is drawn from: independent of order and of stored precision.

    Values are hashed as float32: a checkpoint stored in half precision and the same one loaded in
    single precision are the same weights. One tensor is in memory at a time.
    """
    return combined_digest(
        {tensor.name: tensor_digest(tensor.name, source.load(tensor.name)) for tensor in tensors}
    )
