"""Holding a mask costs one bool a prunable weight, and masking gradients allocates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import pytest
import torch
from torch import nn

from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold

SIZE = 256


@contextmanager
def allocations() -> Iterator[list[int]]:
    """Bytes in use after every allocation inside, counted from the beginning."""
    levels: list[int] = []
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        yield levels
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    levels.extend(accumulate(change for _, change in changes))


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE))


@pytest.fixture
def mask() -> Mask:
    keep = torch.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 4 == 0
    return Mask.from_bools({"0.weight": keep, "1.weight": ~keep})


def test_a_hold_is_one_bool_a_weight(model: nn.Module, mask: Mask) -> None:
    held = [keep for _, _, keep in MaskHold(model, mask)._held]
    assert {keep.dtype for keep in held} == {torch.bool}
    assert sum(keep.nbytes for keep in held) == mask.total()


def test_gradients_are_masked_where_they_are(model: nn.Module, mask: Mask) -> None:
    hold = MaskHold(model, mask)
    with allocations() as plain:
        model(torch.ones(1, SIZE)).square().mean().backward()
    model.zero_grad()
    with hold.gradients_masked(), allocations() as masked:
        model(torch.ones(1, SIZE)).square().mean().backward()
    hold.apply()
    both = 2 * 4 * SIZE * SIZE
    assert both <= max(plain) < 1.5 * both
    assert max(masked) <= max(plain) + 1024
    assert hold.verify() <= mask.kept()
    for name, parameter in (("0.weight", model[0].weight), ("1.weight", model[1].weight)):
        assert parameter.grad is not None
        assert not parameter.grad[~mask.keep(name)].any()
        assert parameter.grad[mask.keep(name)].any()
