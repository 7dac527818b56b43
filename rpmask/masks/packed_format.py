"""The packed mask format: a safetensors file, of which nothing is believed without a check.

Each tensor of the file holds the code (masks/bit_coding.py) of one tensor's packed bits, as bytes. The
metadata holds shapes, counts, codings, the mask's digest, and the recipe that redraws it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import Record, canonical_json
from rpmask.masks.bit_coding import CodingError, decode, encode
from rpmask.masks.mask import Mask
from rpmask.records import MaskRecipe

FORMAT = "rpmask.mask"
SCHEMA_VERSION = 1
MOST_WEIGHTS = 1 << 40  # in one mask: more than any model has, and far from overflowing


@dataclass(frozen=True)
class TensorEntry(Record):
    """A mask file's metadata for one tensor."""

    shape: tuple[int, ...]
    kept: int
    coding: str

    @property
    def total(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class MaskHeader(Record):
    """A mask file's metadata; `extra` is for the writer's own notes."""

    schema_version: int
    digest: str
    tensors: dict[str, TensorEntry]
    recipe: MaskRecipe | None = None
    extra: dict[str, str] | None = None

    @property
    def total(self) -> int:
        return sum(entry.total for entry in self.tensors.values())


def save_mask(mask: Mask, path: str | Path, recipe: MaskRecipe | None = None) -> int:
    """Write a mask, with the recipe that redraws it if there is one, and return the size in bytes."""
    codes: dict[str, np.ndarray] = {}
    entries: dict[str, TensorEntry] = {}
    for name in mask.names:
        coding, code = encode(mask.bits[name], mask.total(name), mask.kept(name))
        codes[name] = np.frombuffer(code, np.uint8)
        entries[name] = TensorEntry(mask.shape(name), mask.kept(name), coding)
    header = MaskHeader(SCHEMA_VERSION, mask.digest, entries, recipe, extra={})
    content = save(codes, {"format": FORMAT, "header": canonical_json(header.to_dict())})
    write_whole(Path(path), content)
    return len(content)


def read_header(path: str | Path) -> MaskHeader:
    """A mask file's metadata; the mask is not decoded."""
    return _read(path)[0]


def load_mask(path: str | Path) -> Mask:
    """Read a mask and verify its digest."""
    header, codes = _read(path)
    bits = {}
    for name, entry in header.tensors.items():
        try:
            bits[name] = decode(entry.coding, codes[name].tobytes(), entry.total, entry.kept)
        except CodingError as error:
            raise _damaged(
                path, f"the bits of '{name}' are not what the header says: {error}"
            ) from error
    mask = Mask(bits, {name: entry.shape for name, entry in header.tensors.items()})
    if mask.digest != header.digest:
        raise _damaged(
            path, f"its digest is {mask.digest[:12]}, its header says {header.digest[:12]}"
        )
    return mask


def _read(path: str | Path) -> tuple[MaskHeader, dict[str, np.ndarray]]:
    """Header and codes, checked to be consistent with each other; nothing is decoded."""
    try:
        with safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            header = _parse(path, metadata)
            names = set(opened.keys())
            if names != set(header.tensors):
                odd = sorted(names ^ set(header.tensors))[0]
                raise _damaged(path, f"header and content disagree about the tensor '{odd}'")
            codes = {name: opened.get_tensor(name) for name in header.tensors}
    except FileNotFoundError as error:
        raise RpmaskError(f"There is no mask file {path}.", "Check the path.") from error
    except (SafetensorError, OSError, TypeError) as error:
        raise _damaged(path, f"it is not a whole safetensors file ({error})") from error
    for name, code in codes.items():
        if code.dtype != np.uint8 or code.ndim != 1:
            raise _damaged(path, f"'{name}' is {code.dtype} of {code.ndim} dimensions, not bytes")
    return header, codes


def _parse(path: str | Path, metadata: Mapping[str, str]) -> MaskHeader:
    if metadata.get("format") != FORMAT:
        raise RpmaskError(
            f"{path} is a safetensors file, but not a mask.",
            "Give a file that rpmask wrote as a mask.",
        )
    try:
        raw = json.loads(metadata.get("header", ""))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON ({error})") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RpmaskError(
            f"{path} has mask format {version}; this rpmask reads up to {SCHEMA_VERSION}.",
            "Upgrade rpmask.",
        )
    try:
        header = MaskHeader.from_dict(raw, "mask header")
    except RpmaskError as error:
        raise _damaged(path, error.message.rstrip(".")) from error
    for name, entry in header.tensors.items():
        if any(size < 1 for size in entry.shape) or not 0 <= entry.kept <= entry.total:
            raise _damaged(path, f"'{name}' keeps {entry.kept} weights of shape {entry.shape}")
    if not 0 < header.total <= MOST_WEIGHTS:
        raise _damaged(path, f"it claims {header.total} weights")
    return header


def _damaged(path: str | Path, what: str) -> RpmaskError:
    return RpmaskError(
        f"{path} is damaged: {what}.",
        "Copy the file again, or redraw the mask from its recipe with `rpmask mask redraw`.",
    )
