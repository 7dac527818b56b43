"""The built-in demo: its rows and its fine-tuned tiny BERT, read from inside the package.

`scripts/make_demo.py` makes these files and records a digest of each in `card.json`; a file that
differs is refused, so that a figure quoted for `demo` is always about the same rows and weights.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rpmask.errors import RpmaskError

DEMO_FOLDER = Path(__file__).parent / "demo"
DIGITS_FOLDER = Path(__file__).parent / "digits"
REINSTALL = "Install rpmask again, or make the files with `python scripts/make_demo.py`."


def load_rows(folder: Path = DEMO_FOLDER) -> dict[str, list[dict[str, Any]]]:
    """The `train` and `dev` examples, each with `text`, `text_pair` and a `label` of 0 or 1."""
    card = load_card(folder)
    return {
        split: [json.loads(line) for line in _checked(folder, f"{split}.jsonl", card).splitlines()]
        for split in ("train", "dev")
    }


def demo_model_dir(folder: Path = DEMO_FOLDER) -> Path:
    """The folder of the fine-tuned model and its tokenizer, as `from_pretrained` reads it."""
    card = load_card(folder)
    for name in card["sha256"]:
        if name.startswith("model/"):
            _checked(folder, name, card)
    return folder / "model"


def load_card(folder: Path = DEMO_FOLDER) -> dict[str, Any]:
    """What was measured when the demo was made, with the digest of every file."""
    path = folder / "card.json"
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RpmaskError(f"The built-in demo lacks its file '{path}'.", REINSTALL) from error
    except ValueError as error:
        raise RpmaskError(f"The built-in demo's '{path}' is not JSON.", REINSTALL) from error
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), dict):
        raise RpmaskError(f"The built-in demo's '{path}' lists no digests.", REINSTALL)
    return card


def _checked(folder: Path, name: str, card: dict[str, Any]) -> bytes:
    """A file's content, if it is the one the card was written for."""
    path = folder / name
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise RpmaskError(f"The built-in demo lacks its file '{path}'.", REINSTALL) from error
    found, expected = hashlib.sha256(content).hexdigest(), card["sha256"].get(name)
    if found != expected:
        raise RpmaskError(
            f"The built-in demo's '{path}' has digest {found[:16]}, "
            f"not the recorded {str(expected)[:16]}.",
            REINSTALL,
        )
    return content
