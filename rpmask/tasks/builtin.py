"""The built-in demo: its task, its rows and its fine-tuned tiny BERT, read from inside the package.

`scripts/make_demo.py` makes the files and records the digest of each in `card.json`. A file with another
digest is refused, so that a figure quoted for `demo` is always about the same rows and weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import Columns, text_rows
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.tables import read_jsonl

DEMO = TaskSpec(
    name="demo",
    title="Built-in demo: does the first sentence entail the second? (generated)",
    kind="classification",
    labels=("not_entailment", "entailment"),
    pair=True,
)
DEMO_FOLDER = Path(__file__).parent / "demo"
DIGITS_FOLDER = Path(__file__).parent / "digits"
REINSTALL = "Install rpmask again, or make the files with `python scripts/make_demo.py`."


def read_demo(folder: Path = DEMO_FOLDER) -> TaskRows:
    """The demo's train and dev rows, each a pair of sentences."""
    names = {split: f"{split}.jsonl" for split in ("train", "dev")}
    _check_digests(folder, names.values())
    columns = Columns("text", "label", "text_pair")
    rows = {
        split: text_rows(read_jsonl(folder / name), columns, DEMO, indices=True)
        for split, name in names.items()
    }
    return TaskRows(DEMO, rows.pop("train"), rows, "builtin:demo")


def demo_model_dir(folder: Path = DEMO_FOLDER) -> Path:
    """The folder with the fine-tuned model and its tokenizer, ready for `from_pretrained`."""
    _check_digests(
        folder, [name for name in load_card(folder)["sha256"] if name.startswith("model/")]
    )
    return folder / "model"


def load_card(folder: Path = DEMO_FOLDER) -> dict[str, Any]:
    """What was measured when the demo was made, and the digest of every file."""
    path = folder / "card.json"
    try:
        card = json.loads(_read(path))
    except ValueError as error:
        raise RpmaskError(f"The built-in demo's '{path}' is not JSON.", REINSTALL) from error
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), dict):
        raise RpmaskError(f"The built-in demo's '{path}' lists no digests.", REINSTALL)
    return card


def _check_digests(folder: Path, names: Iterable[str]) -> None:
    """Raise if a file differs from the one that the card lists."""
    expected = load_card(folder)["sha256"]
    for name in names:
        found = hashlib.sha256(_read(folder / name)).hexdigest()
        if found != expected.get(name):
            raise RpmaskError(
                f"The built-in demo's '{folder / name}' has digest {found[:16]}, "
                f"not the recorded {str(expected.get(name))[:16]}.",
                REINSTALL,
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RpmaskError(f"The built-in demo lacks its file '{path}'.", REINSTALL) from error
