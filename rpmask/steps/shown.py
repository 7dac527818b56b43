"""What a step's run shows as parameters, so that a leaderboard tells apart what was done differently."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rpmask.records import DataChoice
from rpmask.steps.requests import SampleRequest


def data_params(data: DataChoice) -> dict[str, Any]:
    """Which data, as far as it is not the usual; where it lies changes no result."""
    return {
        spec.name: getattr(data, spec.name)
        for spec in fields(DataChoice)
        if spec.name != "data_dir" and getattr(data, spec.name) != spec.default
    }


def sample_params(request: SampleRequest) -> dict[str, Any]:
    """How a pool is drawn, and from which data if from other than the usual."""
    space = request.space
    usual = SampleRequest()
    rare = {
        name: getattr(request, name)
        for name in ("floor", "include", "exclude")
        if getattr(request, name) != getattr(usual, name)
    }
    return {
        "task": request.task,
        "model": request.model,
        "sparsity": request.sparsity,
        "k": request.k,
        "seed": request.seed,
        "level": request.level,
        "recipe": request.recipe,
        "temperature": space.temperature,
        "sample_ratio": space.sample_ratio,
        "importance": space.importances,
        "allocation": space.allocations,
        "granularity": request.granularity,
        "calibration_rows": request.calibration_rows,
        "sampler": request.sampler,
        **rare,
        **data_params(request.data),
    }
