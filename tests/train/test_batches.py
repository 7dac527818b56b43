"""How far rows are padded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import toy_rows


@pytest.mark.parametrize(("most", "width"), [(None, 16), (20, 16), (13, 13), (9, 12)])
def test_padding_stops_where_the_model_does(most: int | None, width: int) -> None:
    rows = replace(toy_rows(2), max_length=most)
    rows.features[0].update(input_ids=[5] * 12, attention_mask=[1] * 12)
    batch = rows.batch(np.arange(2))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, width)
    assert rows.take(np.array([1])).max_length == most
