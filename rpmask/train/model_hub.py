"""A model in the hub's cache, or fetched from the hub: whole, and with its weights as safetensors.

Other programs leave folders in the cache that hold a configuration or a tokenizer alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.hub import unreachable

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def cached(repository: str) -> str | None:
    """The cache's folder of a model, if its configuration and all of its weights are there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json")
    except HFValidationError as error:
        raise RpmaskError(
            f"'{repository}' is neither a folder nor a hub id.",
            "Name a folder that save_pretrained wrote, a hub id, or models:/NAME@alias.",
        ) from error
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return str(folder) if _has_weights(folder) else None


def check_within_reach(repository: str) -> None:
    """Refuse a model that is neither in the cache nor on a hub that answers."""
    if cached(repository) is None:
        _check_reachable(repository)


def _check_reachable(repository: str) -> None:
    from huggingface_hub import constants

    problem = unreachable(constants.ENDPOINT, offline=constants.HF_HUB_OFFLINE)
    if problem:
        raise RpmaskError(
            f"The model '{repository}' is not on this machine and the hub cannot be reached: "
            f"{problem}.",
            "Connect to the network, or name a local folder with --model.",
        )


def from_hub(repository: str) -> str:
    """Download a model; the folder it lies in then."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    _check_reachable(repository)
    try:
        folder = snapshot_download(repository, allow_patterns=PATTERNS)
    except HfHubHTTPError as error:
        raise RpmaskError(
            f"The hub would not give the model '{repository}': {error}.",
            "Check the name, and log in with `hf auth login` if it is private.",
        ) from error
    except Exception as error:
        # Each of the client's layers has exceptions of its own: HTTP, TLS, the cache.
        raise RpmaskError(
            f"Fetching the model '{repository}' from {constants.ENDPOINT} failed: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            "Try again when the hub can be reached, or name a local folder with --model.",
        ) from error
    if not _has_weights(Path(folder)):
        raise RpmaskError(
            f"'{repository}' has no {WHOLE} on the hub, and pickled weights are not read.",
            "Load it with transformers, save_pretrained it to a folder, and name that with --model.",
        )
    return folder


def _has_weights(folder: Path) -> bool:
    """Whether the weights are there in one file, or in every file that their index names."""
    if (folder / WHOLE).is_file():
        return True
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return all((folder / name).is_file() for name in set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
