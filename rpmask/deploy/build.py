"""A classifier's modules out of a folder's config.json, and the weights that are put into them.

Parameters begin on the meta device and are given the tensors that were read, so that nothing is drawn at
random only to be overwritten: that is what makes a packed BERT-base load within two seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy.manifest import damaged
from rpmask.errors import RpmaskError
from rpmask.masks.weights import base_of

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def auto_class(inputs: str) -> Any:
    """The family of classifiers for texts or images."""
    import transformers

    if inputs == "image":
        return transformers.AutoModelForImageClassification
    return transformers.AutoModelForSequenceClassification


def empty_model(folder: Path, inputs: str) -> nn.Module:
    """The modules, without weights; buffers that the code computes are there."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
        with init_empty_weights(include_buffers=False):
            model: nn.Module = auto_class(inputs).from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"its config.json makes no model ({first_line(error)})") from error
    return model.eval()


def fill(model: nn.Module, state: Mapping[str, torch.Tensor], place: Path) -> nn.Module:
    """Give every parameter and stored buffer its tensor; none may be missing or left over."""
    try:
        model.load_state_dict(dict(state), strict=True, assign=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise damaged(place, f"its tensors are not those of its config.json ({what})") from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def stored_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a file must hold: parameters and stored buffers, contiguous, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def full_names(model: nn.Module) -> dict[str, str]:
    """Canonical name, the one masks use, to the name in the whole model's state."""
    base = base_of(model)
    whole = {id(parameter): name for name, parameter in model.named_parameters()}
    return {name: whole[id(parameter)] for name, parameter in base.named_parameters()}


def dense_bytes(model: nn.Module) -> int:
    """Bytes of the weights as they are in memory, unpruned."""
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


def save_extras(model: Any, tokenizer: Any, folder: Path) -> None:
    """config.json and the tokenizer, as every form needs them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def check_file(path: Path) -> None:
    """A file of an export must be there before a library is asked to read it."""
    if not path.is_file():
        raise RpmaskError(f"There is no file {path}.", "Export the model again.")


def first_line(error: Exception) -> str:
    """The first line of an error, which libraries follow with many more, without its colours."""
    told = COLOURS.sub("", str(error)).strip()
    return (told.splitlines() or [type(error).__name__])[0][:200]
