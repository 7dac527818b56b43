"""Find a model: a folder, an MLflow model folder, the hub's cache, or the hub.

Local places come first. Other programs leave folders in the hub's cache that hold only a configuration or a
tokenizer, so a cached model counts only with all of its weights, as safetensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.builtin import DIGITS_FOLDER, demo_model_dir
from rpmask.tasks.hub import unreachable

DEMO, DIGITS = "demo", "digits"  # the models inside the package
LONGEST_SOURCE = 1000  # characters; the file system refuses longer paths
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
HINT = "Name a folder that save_pretrained wrote, a hub id, or models:/NAME@alias."


@dataclass(frozen=True)
class ModelPlace:
    """The folders of the weights, the tokenizer and the image processor."""

    weights: str
    tokenizer: str
    processor: str

    @classmethod
    def at(cls, folder: str | Path) -> ModelPlace:
        """All in one folder, as save_pretrained writes them."""
        return cls(str(folder), str(folder), str(folder))


def locate(source: str) -> ModelPlace:
    """Find `demo`, `digits`, a folder, or a hub id. MLflow addresses are fetched before."""
    if source == DEMO:
        return ModelPlace.at(demo_model_dir())
    if source == DIGITS:
        return ModelPlace.at(demo_model_dir(DIGITS_FOLDER))
    if len(source) > LONGEST_SOURCE:
        raise RpmaskError(
            f"'{source[:60]}...' is no model: a name of {len(source):,} characters.", HINT
        )
    path = Path(source).expanduser()
    if (path / "MLmodel").exists():
        parts = path / "components"
        return ModelPlace(
            str(path / "model"), str(parts / "tokenizer"), str(parts / "image_processor")
        )
    if (path / "config.json").exists():
        return ModelPlace.at(path)
    if path.exists():
        raise RpmaskError(
            f"'{source}' is not a Hugging Face model folder: it has no config.json.", HINT
        )
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or "\0" in source:
        raise RpmaskError(f"There is no folder '{source}'.", HINT)
    return ModelPlace.at(_cached(source) or _download(source))


def check_available(repository: str) -> None:
    """Refuse a model that is neither in the cache nor on a hub that answers."""
    if _cached(repository) is None:
        _check_hub(repository)


def _cached(repository: str) -> str | None:
    """The cache's folder of a model, if its configuration and all of its weights are there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json")
    except HFValidationError as error:
        raise RpmaskError(f"'{repository}' is neither a folder nor a hub id.", HINT) from error
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return str(folder) if _has_weights(folder) else None


def _check_hub(repository: str) -> None:
    from huggingface_hub import constants

    problem = unreachable(constants.ENDPOINT, offline=constants.HF_HUB_OFFLINE)
    if problem:
        raise RpmaskError(
            f"The model '{repository}' is not on this machine and the hub cannot be reached: "
            f"{problem}.",
            "Connect to the network, or name a local folder with --model.",
        )


def _download(repository: str) -> str:
    """Download a model and return its folder."""
    from huggingface_hub import constants, snapshot_download

    _check_hub(repository)
    try:
        folder = snapshot_download(repository, allow_patterns=PATTERNS)
    except Exception as error:
        # Each layer of the client has its own exceptions: HTTP, TLS, the cache.
        raise RpmaskError(
            f"Fetching the model '{repository}' from {constants.ENDPOINT} failed: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            "Check the name, log in with `hf auth login` if it is private, or name a local folder with "
            "--model.",
        ) from error
    if not _has_weights(Path(folder)):
        raise RpmaskError(
            f"'{repository}' has no {WHOLE} on the hub, and pickled weights are not read.",
            "Load it with transformers, save_pretrained it to a folder, and name that with --model.",
        )
    return folder


def _has_weights(folder: Path) -> bool:
    """Whether the weights are there: in one file, or in every file that the index names."""
    if (folder / WHOLE).is_file():
        return True
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return all((folder / name).is_file() for name in set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
