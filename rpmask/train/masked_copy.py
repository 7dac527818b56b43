"""Copy a model folder with the dropped weights of a mask as zeros, without building the model.

Building a model imports torch and transformers, which takes longer than everything else that `select` does.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from rpmask.heads.registry import head_of
from rpmask.masks.mask import Mask
from rpmask.tasks.spec import TaskSpec
from rpmask.train.model_place import locate

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
COPIED_TYPES = ("F32", "I64")  # loading a model changes no tensor of these types
ALIVE = 0.99  # share of the kept weights that must not be zero; below it, MaskHold names the tensor


def copy_masked(source: str, task: TaskSpec, mask: Mask, weights: Path, tokenizer: Path) -> bool:
    """Write the masked weights and the tokenizer to two folders; False if the copy would be another model.

    It would be another model where loading adds something to the files: a classifier for the task, another
    number type, tensor names, a padding token. Then nothing is written.
    """
    place = locate(source)
    folder, words = Path(place.weights), Path(place.tokenizer)
    config, said = _json(folder / CONFIG), _json(words / TOKENIZER_CONFIG)
    if not _answers(config, task) or not said.get("tokenizer_class") or not said.get("pad_token"):
        return False
    names = _stored_names(folder / WEIGHTS, mask, task.outputs)
    if not names:
        return False
    arrays = load_file(folder / WEIGHTS)
    for name, stored in names.items():
        array = arrays[stored]
        keep = np.unpackbits(mask.bits[name], count=array.size).astype(bool).reshape(array.shape)
        array = np.where(keep, array, np.float32(0))
        if np.count_nonzero(array) < ALIVE * mask.kept(name):
            return False
        arrays[stored] = array
    weights.mkdir(parents=True)
    save_file(arrays, weights / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(folder / CONFIG, weights / CONFIG)
    tokenizer.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (words / name).is_file():
            shutil.copyfile(words / name, tokenizer / name)
    return True


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _answers(config: dict[str, Any], task: TaskSpec) -> bool:
    """Whether a configuration is that of a text model with the task's head, labels and a padding token."""
    head = head_of(task)
    if not head.inputs.are_text or not head.is_of((config.get("architectures") or [])[:1]):
        return False
    if config.get("pad_token_id") is None or config.get("dtype") != "float32":
        return False
    return head.answers.is_config(config, task)


def _stored_names(path: Path, mask: Mask, outputs: int) -> dict[str, str]:
    """The name in the file for each tensor of the mask; empty if the file is not one whole classifier."""
    try:
        with safe_open(path, framework="numpy") as opened:
            parts = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            if not {part.get_dtype() for part in parts.values()} <= set(COPIED_TYPES):
                return {}
    except (SafetensorError, OSError):
        return {}
    found: dict[str, str] = {}
    for name in mask.names:
        stored = [each for each in shapes if each.endswith(f".{name}")]
        if len(stored) != 1 or shapes[stored[0]] != mask.shape(name):
            return {}
        found[name] = stored[0]
    prefixes = {stored.removesuffix(name) for name, stored in found.items()}
    prefix = prefixes.pop()
    head = [shape for name, shape in shapes.items() if not name.startswith(prefix)]
    return found if not prefixes and any(shape[:1] == (outputs,) for shape in head) else {}
