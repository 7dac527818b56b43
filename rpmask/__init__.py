"""rpmask: draw many pruning masks, race them, keep the best with evidence, train it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpmask.deploy.load import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`rpmask.load`, found when it is asked for: it brings torch and transformers along."""
    if name == "load":
        from rpmask.deploy.load import load

        return load
    raise AttributeError(f"module 'rpmask' has no attribute '{name}'")
