"""A step of a verb, as its MLflow run is found and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """What a step's result depends on, and how its MLflow run is labelled.

    `inputs`, `decides` and the code form the step's key: a finished run with the same key is reused.
    """

    name: str  # the verb
    title: str  # the name of the MLflow run
    task: str
    level: int
    sparsity: float | None
    inputs: Mapping[str, Any]  # ids and digests of what the step reads
    decides: Mapping[str, Any]  # parameters that can change the result
    params: Mapping[str, Any]  # parameters that the MLflow run shows
    tags: Mapping[str, str] = field(default_factory=dict)
    key: str = ""  # what the run is found by: the digest that `steps/frame.py` makes
