"""The code of this package as a part of an MLflow model, so that serving needs no installed rpmask."""

from __future__ import annotations

import shutil
from pathlib import Path

import rpmask

# What that code imports to load a model and answer.
PACKAGES = ("torch", "transformers", "safetensors", "accelerate", "numpy", "scipy", "pandas")


def copy_code(folder: Path) -> Path:
    """Copy the package into the folder, without the data of the built-in tasks."""
    source = Path(rpmask.__file__).parent
    only_code = shutil.ignore_patterns("__pycache__", "demo", "digits")
    return Path(shutil.copytree(source, folder / "rpmask", ignore=only_code))
