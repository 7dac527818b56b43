"""The tables that a command prints instead of JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from rich.table import Table

from rpmask.cli.show import text_table
from rpmask.cli.tables import finetune_table, screen_table
from rpmask.cli.tracking import Tracking

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
        (
            {"agreement": 0.85, "agreement_majority": 0.6},
            ["85.0% (60.0% for its most frequent answer)"],
        ),
        ({"agreement": None, "agreement_majority": None}, []),
    ],
)
def test_agreement_is_shown_if_it_was_measured(
    agreement: dict[str, float | None], shown: list[str]
) -> None:
    result: dict[str, Any] = {**TRAINED, **agreement}
    (table,) = finetune_table(result)
    assert isinstance(table, Table)
    names, values = (list(column.cells) for column in table.columns)
    found = dict(zip(names, values, strict=True))
    assert [
        value for name, value in found.items() if "agreement with the dense" in str(name)
    ] == shown
    assert found["retention"] == "88.9%"


def raced(status: str, score: float) -> dict[str, Any]:
    """A candidate at the end of a race of one rung."""
    rung = {"step": 4, "loss": score, "metric": score}
    return {"id": "0", "status": status, "rungs": [rung], "score": score}


RACE = {
    "run_id": "r",
    "steps_spent": 8,
    "steps_full": 16,
    "candidates": [raced("failed", math.nan), raced("finished", 0.5)],
}


def test_json_has_null_for_nan(capsys: pytest.CaptureFixture[str]) -> None:
    Tracking(as_json=True).show("screen", RACE)
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [candidate["score"] for candidate in found["candidates"]] == [None, 0.5]


def test_nan_is_printed_as_a_dash_and_sorted_last() -> None:
    table, _ = screen_table(RACE)
    assert isinstance(table, Table)
    assert [list(column.cells) for column in table.columns] == [
        ["1", "0"],
        ["finished", "failed"],
        ["4", "4"],
        ["0.5000", "-"],
        ["0.5000", "-"],
    ]
    (table,) = finetune_table({**TRAINED, "agreement": None, "retention": math.nan})
    assert isinstance(table, Table)
    assert "-" in table.columns[1].cells


def test_brackets_in_a_name_are_not_markup() -> None:
    odd = "[red]x[/nope]"
    assert text_table(odd, ("name",), [(odd,)], left=1).count(odd) == 2
