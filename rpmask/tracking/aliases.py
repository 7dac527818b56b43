"""What the registry's models and aliases are called."""

from __future__ import annotations

SELECTED = "selected"
CHAMPION = "champion"
DENSE = "dense"
JACKPOT = "jackpot"


def model_name(task: str) -> str:
    """The registered model of a task."""
    return f"rpmask-{task}"
