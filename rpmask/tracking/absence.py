"""What MLflow says when a thing is not there. Everything else it raises is an outage, or a defect.

Only absence may be turned into "there is none": a server that is away for a minute would otherwise have no
champion, no runs and no artifacts for that minute.
"""

from __future__ import annotations

# To MLflow an alias that stands on nothing is an invalid parameter, and so is a name that nothing can have.
# A proxy's own "404 page not found" is ENDPOINT_NOT_FOUND: the proxy answers, the store does not.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")


def is_absent(error: BaseException) -> bool:
    """Whether the store answered a look-up by id or name, and the answer is that there is none."""
    return getattr(error, "error_code", None) in ABSENT
