"""The short form of a fault test, part of `make test`, and the long form of `make faults`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def short_or_long(short: T, long: T) -> T:
    """The value for the form that RPMASK_FAULTS names."""
    return long if os.environ.get("RPMASK_FAULTS") == "long" else short
