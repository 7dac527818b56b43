"""What a verb cannot be asked for is refused before anything is loaded."""

from __future__ import annotations

import pytest

from rpmask.errors import RpmaskError
from rpmask.steps.requests import JackpotRequest, SampleRequest


@pytest.mark.parametrize("rows", [0, -5])
@pytest.mark.parametrize("kind", [SampleRequest, JackpotRequest])
def test_statistics_need_a_row(kind: type[SampleRequest] | type[JackpotRequest], rows: int) -> None:
    with pytest.raises(RpmaskError, match=f"calibration rows is {rows}; it must be above 0"):
        kind(calibration_rows=rows).check()
    kind(calibration_rows=1).check()
