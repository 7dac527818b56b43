"""Generations of sampling and screening: each pool is drawn where the study expects good masks.

One generation is a pool and its race. The next one continues the study, with the best mask so far in its
pool, so the last race compares all masks that are still worth comparing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.steps.context import Context
from rpmask.steps.requests import SampleRequest, ScreenRequest
from rpmask.steps.sample import sample
from rpmask.steps.screen import screen


def generation(
    sampling: SampleRequest, racing: ScreenRequest, context: Context, before: dict[str, Any] | None
) -> dict[str, Any]:
    """Draw and race one pool; `before` is the result of the generation that it continues."""
    if before is not None:
        sampling = replace(sampling, like=before["screen"]["run_id"])
    pool = sample(sampling, context)
    return {"sample": pool, "screen": screen(racing, context, pool["run_id"])}


def generations(
    sampling: SampleRequest, racing: ScreenRequest, context: Context, count: int
) -> list[dict[str, Any]]:
    """Run `count` generations, one after the other."""
    done: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        if count > 1:
            context.console.say(f"Generation {number} of {count}")
        done.append(generation(sampling, racing, context, done[-1] if done else None))
    return done
