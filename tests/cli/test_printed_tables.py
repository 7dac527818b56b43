"""What a command shows beside its JSON."""

from __future__ import annotations

from typing import Any

import pytest
from rich.table import Table

from rpmask.cli.tables import finetune_table

TRAINED = {
    "primary": "accuracy",
    "dense": {"accuracy": 0.9},
    "dev": {"accuracy": 0.8},
    "majority": {"accuracy": 0.5},
    "retention": 0.889,
    "sparsity": 0.9,
    "model": {"name": "rpmask-toy", "version": 1, "alias": None},
}


@pytest.mark.parametrize(
    ("agreement", "shown"),
    [
        ({"agreement": 0.85, "agreement_majority": 0.6}, ["85.0% (60.0% by its commonest answer)"]),
        ({"agreement": None, "agreement_majority": None}, []),
    ],
)
def test_agreement_is_shown_where_there_is_one(
    agreement: dict[str, float | None], shown: list[str]
) -> None:
    result: dict[str, Any] = {**TRAINED, **agreement}
    (table,) = finetune_table(result)
    assert isinstance(table, Table)
    names, values = (list(column.cells) for column in table.columns)
    found = dict(zip(names, values, strict=True))
    assert [
        value for name, value in found.items() if "as the dense model does" in str(name)
    ] == shown
    assert found["retention"] == "88.9%"
