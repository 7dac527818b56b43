"""Weights read from a Hugging Face folder one tensor at a time, without building the model.

The file is opened anew for every tensor: a mapping that stays open keeps every page it has touched in
resident memory, and the point of streaming is that memory is bounded by the largest tensor.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from rpmask.errors import RpmaskError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class SafetensorsWeights:
    """The tensors of a folder in Hugging Face layout, or of one .safetensors file."""

    def __init__(self, path: str | Path) -> None:
        self._files = _tensor_files(Path(path))
        self._path = Path(path)

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, from the file's header."""
        stored = self._stored_name(name)
        file = self._files[stored]
        try:
            with safe_open(file, framework="pt") as opened:
                return tuple(opened.get_slice(stored).get_shape())
        except (SafetensorError, OSError) as error:
            raise _unreadable(file, error) from error

    def holds(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether one tensor of the file, and no other, could be this one."""
        try:
            return self.shape(name) == shape
        except RpmaskError:
            return False

    def load(self, name: str) -> torch.Tensor:
        """The tensor as stored."""
        stored = self._stored_name(name)
        file = self._files[stored]
        try:
            with safe_open(file, framework="pt") as opened:
                tensor: torch.Tensor = opened.get_tensor(stored)
                return tensor
        except (SafetensorError, OSError) as error:
            raise _unreadable(file, error) from error

    def _stored_name(self, name: str) -> str:
        """The name in the file: the canonical one behind whatever prefix the checkpoint has."""
        if name in self._files:
            return name
        prefixed = [stored for stored in self._files if stored.endswith(f".{name}")]
        if len(prefixed) == 1:
            return prefixed[0]
        if prefixed:
            raise RpmaskError(
                f"{self._path} has several tensors that could be '{name}': {', '.join(prefixed[:3])}.",
                "Save the model on its own with save_pretrained and use that folder.",
            )
        raise RpmaskError(
            f"{self._path} has no tensor '{name}'.",
            f"It holds, for example: {', '.join(sorted(self._files)[:3])}. "
            "Is it the checkpoint of this model?",
        )


def _tensor_files(path: Path) -> dict[str, Path]:
    """Which file holds each stored tensor, read from the headers."""
    if path.is_file():
        files = [path]
    elif (path / SINGLE).is_file():
        files = [path / SINGLE]
    elif (path / INDEX).is_file():
        files = _shards(path)
    else:
        raise RpmaskError(
            f"{path} holds no {SINGLE} and no {INDEX}.",
            "Give a folder written by save_pretrained; pickled .bin weights are never opened.",
        )
    found: dict[str, Path] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                found.update(dict.fromkeys(opened.keys(), file))
        except (SafetensorError, OSError) as error:
            raise _unreadable(file, error) from error
    return found


def _shards(folder: Path) -> list[Path]:
    index = folder / INDEX
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [folder / Path(name).name for name in names]
    except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise _unreadable(index, error) from error
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise RpmaskError(
            f"{index} names {missing[0]}, which is not there.", "Download the checkpoint again."
        )
    return shards


def _unreadable(file: Path, error: Exception) -> RpmaskError:
    return RpmaskError(
        f"{file} cannot be read as safetensors: {error}.", "Download or save the checkpoint again."
    )
