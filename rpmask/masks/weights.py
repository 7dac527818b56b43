"""The prunable weights of a model, their canonical names, and the digest that identifies them.

The matrices of the repeated blocks are pruned (section 4 of the randomized-mask paper). The rule needs no
list of models: a Linear, Conv1D or Conv2d weight of the base model is in a repeated block if its path has a
number in it. Embeddings, norms, pooler, classifier and stem convolution are not. Matrices that a block holds
in another way, as XLNet's attention does, stay dense. transformers' classes are recognised by name, so that
this module does not import it.
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
    """The network without its head, whose parameter names masks use."""
    base = getattr(model, "base_model", model)
    return base if isinstance(base, nn.Module) else model


def block_of(name: str) -> str:
    """The block that a tensor belongs to: up to the first number in its name, or else its module."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts) - 2)
    return ".".join(parts[: number + 1])


def full_names(model: nn.Module) -> dict[str, str]:
    """The name in the whole model's state for each parameter name that masks use."""
    whole = {id(parameter): name for name, parameter in model.named_parameters()}
    return {name: whole[id(parameter)] for name, parameter in base_of(model).named_parameters()}


@dataclass(frozen=True)
class Prunable:
    """One tensor that may be pruned. `kind` is its layout, `heads` the number of attention heads.

    linear is (out, in), conv2d is (out, in, height, width); conv1d, which GPT-2 uses, is (in, out).
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

    @property
    def outputs(self) -> int:
        return self.shape[self.output_axis]

    @property
    def inputs(self) -> int:
        return self.shape[self.input_axis]


class WeightSource(Protocol):
    """Weights read one tensor at a time, by canonical name."""

    def load(self, name: str) -> torch.Tensor:
        """The tensor on the CPU, in the type it is stored in."""
        ...


class TensorWeights:
    """Weights in memory: a module, or a mapping of canonical names to tensors."""

    def __init__(self, weights: nn.Module | Mapping[str, torch.Tensor]) -> None:
        if isinstance(weights, nn.Module):
            weights = dict(base_of(weights).named_parameters(remove_duplicate=False))
        self._tensors = weights

    def load(self, name: str) -> torch.Tensor:
        """The tensor, detached and on the CPU."""
        if name not in self._tensors:
            raise RpmaskError(
                f"The weights have no tensor '{name}'.",
                f"They hold, for example: {some_of(self._tensors)}.",
            )
        return self._tensors[name].detach().cpu()


def find_prunable(
    model: nn.Module, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Prunable, ...]:
    """The tensors to prune, each parameter once, by rule unless patterns say otherwise.

    Patterns are shell patterns on canonical names. `include` replaces the rule: it chooses from every
    Linear, Conv1D and Conv2d weight of the base model. A pattern with a leading plus (`+pooler.*`) adds to
    the rule's choice instead. `exclude` then removes.
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
    """Matrices in repeated blocks that stay dense: the number of weights of each, by name."""
    base = base_of(model)
    known = {id(base.get_parameter(tensor.name)) for tensor in tensors}
    known |= {id(module.weight) for module in base.modules() if isinstance(module, nn.Embedding)}
    return {
        name: parameter.numel()
        for name, parameter in base.named_parameters()
        if parameter.dim() > 1 and id(parameter) not in known and _in_repeated_block(name)
    }


def _matrices(model: nn.Module) -> Iterator[Prunable]:
    """Every Linear, Conv1D and Conv2d weight of the base model; shared parameters under their first name."""
    base = base_of(model)
    heads = getattr(getattr(base, "config", None), "num_attention_heads", None)
    modules = list(base.named_modules())
    # A matrix tied to an embedding counts as an embedding.
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
    """Whether the module is a Linear, or GPT-2's Conv1D, which is a transposed one."""
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
    """sha256 of a tensor's name, shape and values as float32, which does not depend on the stored type."""
    values = weight.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    digest = hashlib.sha256(canonical_json([name, list(weight.shape)]).encode())
    digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def combined_digest(tensor_digests: Mapping[str, str]) -> str:
    """One digest from those of the tensors, in any order."""
    return hashlib.sha256(canonical_json(dict(tensor_digests)).encode()).hexdigest()


def weights_digest(source: WeightSource, tensors: Sequence[Prunable]) -> str:
    """The identity of the weights a mask is drawn from, independent of order and stored precision.

    One tensor is in memory at a time.
    """
    return combined_digest(
        {tensor.name: tensor_digest(tensor.name, source.load(tensor.name)) for tensor in tensors}
    )
