"""`rpmask screen`: race the candidates of a pool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rpmask.cli.options import Given, verb
from rpmask.cli.sources import Source, resolve_precision
from rpmask.cli.tracking import Tracking
from rpmask.steps.screen_request import ScreenRequest


@verb()
def screen(
    source: Source, request: ScreenRequest, tracking: Tracking, given: Given
) -> dict[str, Any]:
    """Race the masks of a pool: every candidate trains on the same batches, and losers stop early.

    Example: `rpmask screen --workers 2`
    """
    request = replace(request, precision=resolve_precision(request.precision))
    request.check()
    from rpmask.steps.screen import screen as race

    context = tracking.context()
    pool = source.find("sample", context, given)
    if tracking.plan:
        from rpmask.steps.plans import plan_screen

        return plan_screen(request, context, pool).answer()
    return race(request, context, pool)
