"""The scripts that write pages, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent.parent


def load(path: str) -> ModuleType:
    """A script of the repository by its path, as it is when it runs: its folder is on the path."""
    place = ROOT / path
    spec = importlib.util.spec_from_file_location(f"script_{place.stem}", place)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(place.parent))
    try:
        sys.modules[spec.name] = script  # where dataclasses look up their annotations
        spec.loader.exec_module(script)
    finally:
        sys.path.remove(str(place.parent))
    return script
