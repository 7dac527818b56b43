"""Find the folders of a model: a local folder, an MLflow model folder, the hub's cache, or the hub.

Local folders come first. A hub that cannot be reached is reported within two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.builtin import DIGITS_FOLDER, demo_model_dir
from rpmask.train.model_hub import cached, from_hub

LONGEST_SOURCE = 1000  # characters; a path that is longer cannot be looked at
DEMO, DIGITS = "demo", "digits"  # the models inside the package


@dataclass(frozen=True)
class ModelPlace:
    """Folders of the weights, of the tokenizer and of the image processor."""

    weights: str
    tokenizer: str
    processor: str

    @classmethod
    def at(cls, folder: str) -> ModelPlace:
        """All in one folder, as save_pretrained leaves them."""
        return cls(folder, folder, folder)


def locate(source: str) -> ModelPlace:
    """Find a model: `demo`, `digits`, a folder, or a hub id. MLflow addresses are fetched before."""
    if source == DEMO:
        return ModelPlace.at(str(demo_model_dir()))
    if source == DIGITS:
        return ModelPlace.at(str(demo_model_dir(DIGITS_FOLDER)))
    if len(source) > LONGEST_SOURCE:
        raise RpmaskError(
            f"'{source[:60]}...' is no model: a name of {len(source):,} characters.",
            "Name a folder that save_pretrained wrote, a hub id, or models:/NAME@alias.",
        )
    path = Path(source).expanduser()
    if (path / "MLmodel").exists():
        parts = path / "components"
        return ModelPlace(
            str(path / "model"), str(parts / "tokenizer"), str(parts / "image_processor")
        )
    if (path / "config.json").exists():
        return ModelPlace.at(str(path))
    if path.exists():
        raise RpmaskError(
            f"'{source}' is not a Hugging Face model folder: it has no config.json.",
            "Name a folder that save_pretrained wrote, a hub id, or models:/NAME@alias.",
        )
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or "\0" in source:
        raise RpmaskError(
            f"There is no folder '{source}'.",
            "Name a folder that save_pretrained wrote, a hub id, or models:/NAME@alias.",
        )
    return ModelPlace.at(cached(source) or from_hub(source))
