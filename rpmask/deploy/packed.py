"""Form `packed`: the coded bits and the kept values of each masked matrix; all other tensors dense.

One safetensors file. The bits are coded as in a mask file (masks/coding.py): 0.34 bits per weight at 93.75 %.
Matrices, the embeddings included, are stored as fp32, fp16, bf16, or int8 with one scale per row. Vectors
(biases, norms) are always fp32. Reading gives fp32 weights with exact zeros.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from rpmask.deploy.build import read_tensors, stored_state
from rpmask.deploy.manifest import VALUES, damaged
from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import Record, canonical_json
from rpmask.masks.bit_coding import CodingError, decode, encode
from rpmask.masks.mask import Mask
from rpmask.masks.weights import full_names

FILE = "packed.safetensors"
FORMAT = "rpmask.packed"
BITS, KEPT, SCALE = "#bits", "#values", "#scale"  # after a tensor's name; no module name has a '#'
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
MOST_WEIGHTS = 1 << 40


@dataclass(frozen=True)
class MatrixEntry(Record):
    """A masked matrix: its shape, number of kept weights, coding of its bits, and name in the mask."""

    shape: tuple[int, ...]
    kept: int
    coding: str
    canonical: str


@dataclass(frozen=True)
class Header(Record):
    """The header of the file."""

    values: str
    mask_digest: str
    matrices: dict[str, MatrixEntry]


@dataclass(frozen=True)
class Sizes:
    """Bytes of each masked matrix, on disk and as dense fp32."""

    stored: dict[str, int]
    dense: dict[str, int]


def write(model: nn.Module, mask: Mask, path: Path, values: str = "fp32") -> Sizes:
    """Write a masked model; refused if a weight outside the mask is not zero."""
    if values not in VALUES:
        raise RpmaskError(
            f"Values cannot be stored as '{values}'.", f"Give one of {', '.join(VALUES)}."
        )
    state = stored_state(model)
    names = full_names(model)
    tensors: dict[str, torch.Tensor] = {}
    entries: dict[str, MatrixEntry] = {}
    sizes = Sizes({}, {})
    for canonical in mask.names:
        name = names[canonical]
        weight = state.pop(name).float()
        keep = mask.keep(canonical)
        if torch.count_nonzero(weight[~keep]):
            raise RpmaskError(
                f"'{canonical}' has weights outside its mask that are not zero.",
                "The mask is not the one this model was trained with.",
            )
        coding, code = encode(mask.bits[canonical], weight.numel(), mask.kept(canonical))
        tensors[name + BITS] = torch.frombuffer(bytearray(code), dtype=torch.uint8)
        stored, scale = _narrowed(weight, values)
        tensors[name + KEPT] = stored[keep]
        if scale is not None:
            tensors[name + SCALE] = scale
        entries[name] = MatrixEntry(mask.shape(canonical), mask.kept(canonical), coding, canonical)
        parts = (tensors[name + part] for part in (BITS, KEPT, SCALE) if name + part in tensors)
        sizes.stored[canonical] = sum(part.numel() * part.element_size() for part in parts)
        sizes.dense[canonical] = weight.numel() * 4
    for name, tensor in state.items():
        tensors[name], scale = _narrowed(tensor, values) if _is_matrix(tensor) else (tensor, None)
        if scale is not None:
            tensors[name + SCALE] = scale
    header = Header(values, mask.digest, entries)
    metadata = {"format": FORMAT, "header": canonical_json(header.to_dict())}
    write_whole(path, save(tensors, metadata))
    return sizes


def read(path: Path) -> tuple[dict[str, torch.Tensor], Mask]:
    """The whole state in fp32 with exact zeros, and the mask; both checked against the header."""
    header, stored = _read(path)
    state: dict[str, torch.Tensor] = {}
    bits: dict[str, np.ndarray] = {}
    for name, entry in header.matrices.items():
        code, kept = stored.pop(name + BITS), stored.pop(name + KEPT)
        total = prod(entry.shape)
        try:
            found = decode(entry.coding, code.numpy().tobytes(), total, entry.kept)
        except CodingError as error:
            raise damaged(path, f"the bits of '{name}': {error}") from error
        bits[entry.canonical] = found
        keep = torch.from_numpy(np.unpackbits(found, count=total)).view(torch.bool)
        dense = torch.zeros(total)
        dense[keep] = kept.float()
        scale = stored.pop(name + SCALE, None)
        state[name] = _widened(path, name, dense.reshape(entry.shape), scale)
    shapes = {entry.canonical: entry.shape for entry in header.matrices.values()}
    mask = Mask(bits, shapes)
    if mask.digest != header.mask_digest:
        raise damaged(path, "its mask is not the one its header names")
    for name in [name for name in stored if not name.endswith(SCALE)]:
        tensor, scale = stored.pop(name), stored.pop(name + SCALE, None)
        floating = tensor.is_floating_point() or scale is not None
        state[name] = _widened(path, name, tensor.float(), scale) if floating else tensor
    if stored:
        raise damaged(path, f"'{next(iter(stored))}' belongs to no tensor")
    return state, mask


def _is_matrix(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim > 1


def _narrowed(weight: torch.Tensor, values: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The values to store, and the scale of each row of an int8 matrix: (rows,)."""
    if values != "int8":
        return weight.to(DTYPES[values]), None
    rows = weight.reshape(weight.shape[0], -1).float()
    scale = rows.abs().amax(dim=1) / 127.0
    divisor = torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
    return (rows / divisor).round().to(torch.int8).reshape(weight.shape), scale


def _widened(
    path: Path, name: str, tensor: torch.Tensor, scale: torch.Tensor | None
) -> torch.Tensor:
    if scale is None:
        return tensor
    if tensor.ndim < 2 or scale.dtype != torch.float32 or scale.shape != tensor.shape[:1]:
        raise damaged(path, f"the scales of '{name}' do not fit its rows")
    return tensor.mul_(scale.reshape(-1, *[1] * (tensor.ndim - 1)))


def _read(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    """Header and tensors, checked against each other but not decoded."""
    metadata, stored = read_tensors(path)
    header = _parse(path, metadata)
    for name, entry in header.matrices.items():
        _check_matrix(path, name, entry, stored, DTYPES[header.values])
    return header, stored


def _check_matrix(
    path: Path,
    name: str,
    entry: MatrixEntry,
    stored: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
) -> None:
    code, kept = stored.get(name + BITS), stored.get(name + KEPT)
    if code is None or kept is None or code.dtype != torch.uint8 or code.ndim != 1:
        raise damaged(path, f"the bits or values of '{name}' are missing")
    if kept.dtype != dtype or tuple(kept.shape) != (entry.kept,):
        raise damaged(path, f"'{name}' has {tuple(kept.shape)} values, not {entry.kept}")
    if (name + SCALE in stored) != (dtype == torch.int8):
        raise damaged(path, f"the scales of '{name}' are missing or too many")


def _parse(path: Path, metadata: Mapping[str, str]) -> Header:
    if metadata.get("format") != FORMAT:
        raise damaged(path, "it is not a packed model")
    try:
        raw: Any = json.loads(metadata.get("header", ""))
        header = Header.from_dict(raw, "header")
    except (ValueError, RecursionError) as error:
        raise damaged(path, "its header is not JSON") from error
    except RpmaskError as error:
        raise damaged(path, error.message.rstrip(".")) from error
    if header.values not in VALUES:
        raise damaged(path, f"its header names the unknown values '{header.values}'")
    if len({entry.canonical for entry in header.matrices.values()}) != len(header.matrices):
        raise damaged(path, "two matrices have one name")
    for name, entry in header.matrices.items():
        total = prod(entry.shape)
        if any(size < 1 for size in entry.shape) or not 0 <= entry.kept <= total <= MOST_WEIGHTS:
            raise damaged(path, f"'{name}' keeps {entry.kept} weights of shape {entry.shape}")
    return header
