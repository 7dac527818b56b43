"""A mask: one packed bit per weight, and the digest that identifies it.

Bits are packed in storage order (`numpy.packbits`), so a BERT-base mask takes 10 MB. Counts, overlap and
nesting are computed on the packed bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.records import TensorCount

if TYPE_CHECKING:
    import torch

Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, repr=False)
class Mask:
    """Which weights are kept, per tensor; equal masks have equal digests."""

    bits: Mapping[str, Bits]
    shapes: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        if set(self.bits) != set(self.shapes):
            raise RpmaskError(
                "A mask needs the bits and the shape of every tensor.",
                "Give both under the same names.",
            )
        for name, bits in self.bits.items():
            total = prod(self.shapes[name])
            if bits.dtype != np.uint8 or bits.shape != ((total + 7) // 8,):
                raise RpmaskError(
                    f"The bits of '{name}' do not fit its shape {tuple(self.shapes[name])}.",
                    "Pack them with numpy.packbits in storage order.",
                )
            if total % 8 and bits[-1] & (0xFF >> total % 8):
                raise RpmaskError(
                    f"The bits of '{name}' continue after its last weight.",
                    "Fill the last byte with zeros.",
                )
            bits.flags.writeable = False

    @classmethod
    def from_bools(cls, keep: Mapping[str, torch.Tensor | NDArray[Any]]) -> Mask:
        """Pack boolean tensors, True where the weight is kept."""
        arrays = {
            name: np.asarray(tensor).astype(bool, copy=False) for name, tensor in keep.items()
        }
        return cls(
            bits={name: np.packbits(array.reshape(-1)) for name, array in arrays.items()},
            shapes={name: tuple(array.shape) for name, array in arrays.items()},
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.bits))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one tensor."""
        self._check(name)
        return tuple(self.shapes[name])

    def total(self, name: str | None = None) -> int:
        """Number of weights of one tensor, or of all."""
        return prod(self.shape(name)) if name is not None else sum(map(self.total, self.names))

    def kept(self, name: str | None = None) -> int:
        """Number of kept weights of one tensor, or of all."""
        if name is None:
            return sum(self._kept.values())
        self._check(name)
        return self._kept[name]

    @cached_property
    def _kept(self) -> dict[str, int]:
        return {name: _count(self.bits[name]) for name in self.names}

    @property
    def sparsity(self) -> float:
        """The share of dropped weights."""
        return 1.0 - self.kept() / self.total()

    def keep(self, name: str) -> torch.Tensor:
        """One tensor's mask as torch.bool in the tensor's shape."""
        import torch  # only what computes needs it: reading a mask is quicker without

        flat = np.unpackbits(self._check(name), count=prod(self.shapes[name]))
        return torch.from_numpy(flat).view(torch.bool).reshape(self.shape(name))

    def counts(self) -> dict[str, TensorCount]:
        """Kept and total weights of every tensor, for the records."""
        return {name: TensorCount(self.kept(name), self.total(name)) for name in self.names}

    @cached_property
    def digest(self) -> str:
        """sha256 over names, shapes and packed bits in name order, as 64 hex digits."""
        digest = hashlib.sha256(b"rpmask.mask\n")
        for name in self.names:
            digest.update(canonical_json([name, list(self.shapes[name])]).encode() + b"\n")
            digest.update(np.ascontiguousarray(self.bits[name]).data)
        return digest.hexdigest()

    def overlap(self, other: Mask) -> float:
        """The share of this mask's kept weights that the other mask keeps too."""
        self._check_same(other)
        shared = sum(_count(self.bits[name] & other.bits[name]) for name in self.names)
        return shared / self.kept() if self.kept() else 1.0

    def contains(self, other: Mask) -> bool:
        """Whether this mask keeps every weight that the other keeps."""
        self._check_same(other)
        return not any(np.any(other.bits[name] & ~self.bits[name]) for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self.digest == other.digest

    def __repr__(self) -> str:
        return f"Mask({len(self.bits)} tensors, {self.sparsity:.2%} sparse, {self.digest[:12]})"

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without cached properties: whoever receives a mask computes its digest from the bits.
        return Mask, (self.bits, self.shapes)

    def _check(self, name: str) -> Bits:
        if name not in self.bits:
            raise RpmaskError(
                f"The mask has no tensor '{name}'.",
                f"It covers {len(self.bits)} tensors, for example {', '.join(self.names[:2])}.",
            )
        return self.bits[name]

    def _check_same(self, other: Mask) -> None:
        if {n: tuple(s) for n, s in self.shapes.items()} != {
            n: tuple(s) for n, s in other.shapes.items()
        }:
            odd = sorted(set(self.shapes) ^ set(other.shapes)) or ["their shapes differ"]
            raise RpmaskError(
                f"The two masks are not of the same tensors ({odd[0]}).",
                "Compare masks of one model.",
            )


def _count(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))
