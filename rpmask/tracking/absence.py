"""Tell "there is none" from an outage: only the first may be reported as absence."""

from __future__ import annotations

# MLflow reports an alias that points at nothing, or a name that nothing can have, as an invalid parameter.
# A proxy's own "404 page not found" is ENDPOINT_NOT_FOUND: that is an outage, for the store was not asked.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")


def is_absent(error: BaseException) -> bool:
    """Whether the store answered a look-up by id or name, and the answer is that there is none."""
    return getattr(error, "error_code", None) in ABSENT
