"""`rpmask select`: choose a mask by the evidence of the race."""

from __future__ import annotations

from typing import Any

from rpmask.cli.options import Given, verb
from rpmask.cli.sources import Source
from rpmask.cli.tracking import Tracking
from rpmask.steps.screen_request import SelectRequest


@verb(skip=("plan", "system_metrics"))
def select(
    source: Source, request: SelectRequest, tracking: Tracking, given: Given
) -> dict[str, Any]:
    """Keep the winner if it beats the control by more than chance; register it as @selected.

    Example: `rpmask select`
    """
    request.check()
    from rpmask.steps.select import select as choose

    context = tracking.context()
    return choose(request, context, source.find("screen", context, given))
