"""The tables that a command prints instead of JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from rich.table import Table

from rpmask.cli.closing import closing_lines
from rpmask.cli.show import text_table
from rpmask.cli.tables import finetune_table, plain_table, screen_table
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
    (table,) = screen_table(RACE)
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


def test_names_with_values_have_no_empty_header() -> None:
    assert not plain_table("t", ("", ""), [("name", "value")]).show_header
    assert plain_table("t", ("", "found"), [("name", "value")]).show_header


SELECTED: dict[str, Any] = {
    "run_id": "r",
    "winner": 0,
    "best": 3,
    "verdict": "no-evidence",
    "effect": 0.01,
    "interval": [-0.01, 0.03],
    "model": {"name": "rpmask-toy", "version": 2, "alias": "selected"},
    "more_evidence": {
        "pool_run_id": "p",
        "examples": 2000,
        "compared_on": 500,
        "steps_spent": 79,
        "full_steps": 1000,
        "twins": 6,
        "twin_steps": 30,
    },
}


def test_a_verb_ends_with_the_decision_its_meaning_and_what_is_next() -> None:
    lines = closing_lines("select", SELECTED)
    assert lines[:3] == [
        "decided: candidate 0 is kept and registered as models:/rpmask-toy/2 @selected",
        "means:   no-evidence: the race cannot tell candidate 3 from the control (0.0100 [-0.0100, 0.0300])",
        "next:    rpmask finetune --from r",
    ]
    more = "\n".join(lines[3:])
    for words in ("screen --from p with", "--examples 2000", "1,000 training steps instead of 79"):
        assert words in more
    assert "--twins 6: 30 more" in more
    behind = {**SELECTED["more_evidence"], "examples": None}
    assert "of no use" in closing_lines("select", {**SELECTED, "more_evidence": behind})[4]
    old = {name: value for name, value in SELECTED.items() if name not in ("more_evidence", "best")}
    assert len(closing_lines("select", old)) == 3
    trained = {**TRAINED, "promoted": False}
    assert [line.split(":")[0] for line in closing_lines("finetune", trained)] == [
        "decided",
        "means",
        "next",
        "next",
    ]
    assert "88.9% of the dense model's" in closing_lines("finetune", trained)[1]
