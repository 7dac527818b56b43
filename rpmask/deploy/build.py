"""Build a model from the config.json of a folder and fill it with weights.

Parameters start on the meta device, so none is initialised at random only to be overwritten. This is why a
packed BERT-base loads within two seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from rpmask.deploy.manifest import damaged
from rpmask.errors import RpmaskError
from rpmask.heads.head import Head

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def empty_model(folder: Path, head: Head) -> nn.Module:
    """The modules without weights; buffers that the code computes have their values."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
        with init_empty_weights(include_buffers=False):
            model: nn.Module = head.auto_class.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(
            folder, f"no model can be built from its config.json ({first_line(error)})"
        ) from error
    return model.eval()


def fill(model: nn.Module, state: Mapping[str, torch.Tensor], place: Path) -> nn.Module:
    """Assign a tensor to every parameter and stored buffer; none may be missing or left over.

    A parameter that is tied to another one, as a decoder's last matrix is to its embeddings, needs none.
    """
    try:
        missing, left_over = model.load_state_dict(dict(state), strict=False, assign=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise damaged(place, f"its tensors do not match its config.json ({what})") from error
    tie: Callable[[], None] | None = getattr(model, "tie_weights", None)
    if missing and tie is not None:
        tie()
    named = {name: id(each) for name, each in model.named_parameters(remove_duplicate=False)}
    given = {named[name] for name in state if name in named}
    wrong = [name for name in missing if named.get(name) not in given] + left_over
    if wrong:
        raise damaged(place, f"its tensors do not match its config.json ('{wrong[0]}')")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def stored_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and stored buffers, contiguous, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in _state(model).items()}


def dense_bytes(model: nn.Module) -> int:
    """Bytes of the dense weights in memory."""
    return sum(value.numel() * value.element_size() for value in _state(model).values())


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A model's state; a tensor with several names, such as tied embeddings, is there under the first."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        found.setdefault(id(value), (name, value))
    return dict(found.values())


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of a safetensors file."""
    check_file(path)
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return opened.metadata() or {}, tensors
    except (SafetensorError, OSError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(path, f"it is not a whole safetensors file ({error})") from error


def check_file(path: Path) -> None:
    """Refuse a missing file of an export before a library fails on it."""
    if not path.is_file():
        raise RpmaskError(f"There is no file {path}.", "Export the model again.")


def first_line(error: Exception) -> str:
    """The first line of a library's error, without colour codes."""
    text = COLOURS.sub("", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:200]
