"""What a step's run shows as parameters, so that a leaderboard tells apart what was done differently."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rpmask.records import DataChoice
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.requests import SampleRequest
from rpmask.steps.starts import Origin


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
    return {
        "task": request.task,
        "model": request.model,
        "sparsity": request.sparsity,
        "k": request.k,
        "seed": request.seed,
        "level": request.level,
        "recipe": request.recipe,
        "temperature": space.spelled("temperature"),
        "sample_ratio": space.spelled("sample_ratio"),
        "importance": space.importances,
        "allocation": space.allocations,
        "granularity": request.granularity,
        "calibration_rows": request.calibration_rows,
        "sampler": request.sampler,
        **_rare(request, SampleRequest()),
        **data_params(request.data),
    }


def jackpot_params(request: JackpotRequest, origin: Origin) -> dict[str, Any]:
    """Where a search begins, and how it goes on; how its start is drawn if it is."""
    drawn = {"allocation": request.allocation, **_rare(request, JackpotRequest())}
    return {
        "task": origin.task,
        "model": origin.model,
        "weights": origin.weights,
        "start": origin.name,
        "from": origin.kind,
        "sparsity": origin.sparsity,
        **(drawn if origin.mask is None else {}),
        **request.plan.to_dict(),
        **data_params(origin.data),
    }


def _rare(
    request: SampleRequest | JackpotRequest, usual: SampleRequest | JackpotRequest
) -> dict[str, Any]:
    """What is seldom asked for, where it was."""
    return {
        name: getattr(request, name)
        for name in ("floor", "include", "exclude")
        if getattr(request, name) != getattr(usual, name)
    }
