"""Read weights from a Hugging Face folder one tensor at a time, without building the model.

The file is opened again for every tensor, because an open mapping keeps every page it has touched in
memory, and the purpose of streaming is that the largest tensor bounds the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rpmask.errors import RpmaskError
from rpmask.masks.weights import some_of

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class SafetensorsWeights:
    """The tensors of a folder in Hugging Face layout, or of one .safetensors file."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._files: dict[str, Path] = {}  # by stored name
        for file in _tensor_files(self._path):
            with _opened(file) as opened:
                self._files.update(dict.fromkeys(opened.keys(), file))

    def holds(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether exactly one stored tensor could be this one, and has its shape."""
        try:
            stored = self._stored_name(name)
            with _opened(self._files[stored]) as opened:
                return tuple(opened.get_slice(stored).get_shape()) == shape
        except RpmaskError:
            return False

    def load(self, name: str) -> torch.Tensor:
        """The tensor as stored."""
        stored = self._stored_name(name)
        with _opened(self._files[stored]) as opened:
            tensor: torch.Tensor = opened.get_tensor(stored)
            return tensor

    def _stored_name(self, name: str) -> str:
        """The name in the file, which may have a prefix before the canonical name."""
        if name in self._files:
            return name
        prefixed = [stored for stored in self._files if stored.endswith(f".{name}")]
        if len(prefixed) == 1:
            return prefixed[0]
        if prefixed:
            raise RpmaskError(
                f"{self._path} has several tensors that could be '{name}': {some_of(prefixed)}.",
                "Save the model on its own with save_pretrained and use that folder.",
            )
        raise RpmaskError(
            f"{self._path} has no tensor '{name}'.",
            f"It holds, for example: {some_of(sorted(self._files))}. "
            "Is it the checkpoint of this model?",
        )


def _tensor_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / SINGLE).is_file():
        return [path / SINGLE]
    if not (path / INDEX).is_file():
        raise RpmaskError(
            f"{path} holds no {SINGLE} and no {INDEX}.",
            "Give a folder written by save_pretrained; pickled .bin weights are never opened.",
        )
    index = path / INDEX
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [path / Path(name).name for name in names]
    except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise _unreadable(index, error) from error
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise RpmaskError(
            f"{index} names {missing[0]}, which is not there.", "Download the checkpoint again."
        )
    return shards


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> RpmaskError:
    return RpmaskError(
        f"{file} cannot be read as safetensors: {error}.", "Download or save the checkpoint again."
    )
