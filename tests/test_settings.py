"""Limits and help of a field are stated once: `check` and the options of a verb come from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rpmask.cli.options import Given, fill, verb
from rpmask.errors import RpmaskError
from rpmask.settings import Checked, setting, setting_like, settings_of


@dataclass(frozen=True)
class Inner(Checked):
    rate: float = setting(0.5, "Rate", above=0, below=2)
    names: tuple[str, ...] = setting(("a",), "Names", "--name", "-n", choices=("a", "b"))
    hidden: int = setting(1, at_least=1)


@dataclass(frozen=True)
class Outer(Checked):
    inner: Inner = settings_of(Inner)
    rows: int | None = setting(None, "Rows", none="all", at_least=0, auto=True)
    race: float = setting_like(Inner, "rate", default=1.0, flags=("--race-rate",))
    extra: dict[str, Any] = setting(
        {},
        "Extra",
        "--set",
    )


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (Outer(inner=Inner(rate=0.0)), "--rate is 0; it must be above 0 and below 2"),
        (Outer(inner=Inner(rate=math.inf)), "--rate is inf"),
        (Outer(race=math.nan), "--race-rate is nan"),
        (Outer(rows=-1), "--rows is -1; it must be 0 or more"),
        (Inner(names=("a", "c")), "--name has no value 'c'"),
        (Inner(hidden=0), "^hidden is 0; it must be 1 or more"),
    ],
)
def test_a_value_outside_its_limits_is_refused(record: Checked, says: str) -> None:
    Outer(rows=0).check()
    with pytest.raises(RpmaskError, match=says) as found:
        record.check()
    assert found.value.hint


def test_help_and_limits_are_not_part_of_an_id() -> None:
    @dataclass(frozen=True)
    class Plain(Checked):
        rate: float = 0.5

    assert Plain(rate=0.7).id == Inner(rate=0.7).id


SEEN: list[tuple[Outer, Given]] = []
APP = typer.Typer(rich_markup_mode="markdown")


@verb(skip=("name",), defaults={"by night": Outer(inner=Inner(rate=0.25))}, group=APP)
def walk(request: Outer, given: Given) -> None:
    """Walk."""
    SEEN.append((request, given))


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(APP, arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.replace("│", " ").split())


def test_a_verb_gets_the_record_and_what_was_typed() -> None:
    invoke("--race-rate", "1", "--set", "a=1", "--set", "b=x", "--rows", "auto")
    request, given = SEEN.pop()
    assert request == Outer(extra={"a": 1, "b": "x"})
    assert given == {"race_rate": 1.0, "set": {"a": 1, "b": "x"}}
    base = Outer(inner=Inner(rate=0.25))
    assert fill(base, {"rate": 0.75}) == Outer(inner=Inner(rate=0.75))
    assert fill(base, {}) == base
    assert fill(base, {"hidden": 5}) == base  # limits, and no option: another record may have one


def test_the_help_shows_every_default() -> None:
    page = invoke("--help")
    for words in ("Rate [default: 0.5; 0.25 by night].", "Rows [default: all].", "Extra."):
        assert words in page
    assert "Names" not in page
    assert "hidden" not in page
