"""Holding a mask costs one byte per prunable weight; applying it, room for one tensor at a time."""

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


def test_a_hold_is_one_byte_per_weight(model: nn.Module, mask: Mask) -> None:
    held = [bits for _, _, bits in MaskHold(model, mask)._held]
    assert sum(bits.nbytes for bits in held) == mask.total()


def test_gradients_are_masked_in_place(model: nn.Module, mask: Mask) -> None:
    hold = MaskHold(model, mask)
    with allocations() as plain:
        model(torch.ones(1, SIZE)).square().mean().backward()
    model.zero_grad()
    with hold.gradients_masked(), allocations() as masked:
        model(torch.ones(1, SIZE)).square().mean().backward()
    hold.apply()
    both = 2 * 4 * SIZE * SIZE
    assert both <= max(plain) < 1.5 * both
    assert max(masked) <= max(plain) + 4 * SIZE * SIZE + 1024
    assert hold.verify() <= mask.kept()
    for name, parameter in (("0.weight", model[0].weight), ("1.weight", model[1].weight)):
        assert parameter.grad is not None
        assert not parameter.grad[~mask.keep(name)].any()
        assert parameter.grad[mask.keep(name)].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dropped_weights_become_zero_and_kept_ones_stay(
    model: nn.Module, mask: Mask, dtype: torch.dtype
) -> None:
    weight = model.to(dtype)[0].weight
    keep = mask.keep("0.weight")
    before = weight.detach().clone()
    with torch.no_grad():
        weight[~keep] = torch.nan
    MaskHold(model, mask).apply()
    assert torch.equal(weight, before.where(keep, 0.0))
