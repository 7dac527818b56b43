"""`rpmask.predict` and `rpmask.mask`: the functions that make no run and return plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rpmask.cli.options import fill
from rpmask.cli.predict import opened
from rpmask.cli.python import Result, as_called, find_verb
from rpmask.cli.sources import Champion
from rpmask.cli.tracking import Tracking
from rpmask.cli.values import given_values
from rpmask.errors import RpmaskError
from rpmask.jsonrecord import finite


class Answers(list[dict[str, Any]]):
    """The answer to each row. summary is the line of metrics, if rows have labels."""

    summary = ""


def predict(
    model: Any = None,
    rows: Iterable[Any] | None = None,
    *,
    input: str | Path | None = None,
    new_tokens: int | None = None,
    **options: Any,
) -> Answers:
    """Answer rows, or those of the file `input`, by an export, a model's folder, or a model of MLflow's.

    A row is a text, a pair of texts, or a dictionary with the columns that `rpmask predict` reads in JSON
    lines. Without a model the champion of `task` answers.
    """
    if (rows is None) == (input is None):
        raise RpmaskError(
            "`rpmask.predict` answers rows or a file.", "Give a list of rows, or input=FILE."
        )
    source, place = _named(model, "model")
    given = given_values(find_verb("predict"), {**place, **options})
    name = "rows.jsonl" if input is None else str(input)
    answers = Answers()
    with as_called(), ExitStack() as stack:
        from rpmask.steps.predict import predict as answers_to

        lines = stack.enter_context(opened(name)) if rows is None else _json_lines(rows)
        answers += answers_to(
            fill(Champion(), given).unless(source),
            lines,
            name,
            replace(fill(Tracking(), given), quiet=True).context(),
            summarise=lambda line: setattr(answers, "summary", line),
            new_tokens=new_tokens,
        )
    return answers


def _json_lines(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, str):
            yield json.dumps({"text": row})
        elif isinstance(row, (list, tuple)):
            yield json.dumps(dict(zip(("text", "text_pair"), row, strict=True)))
        else:
            yield json.dumps(dict(row))


def _named(thing: Any, option: str) -> tuple[Any, dict[str, Any]]:
    """What an option calls a thing, and the store of a result."""
    if isinstance(thing, Result):
        return thing.named_by(option), thing.place
    return thing if thing is None else str(thing), {}


class Masks:
    """Masks, each a file, RUN_ID#CANDIDATE, RUN_ID, models:/NAME@ALIAS, or the result of a step.

    Other keywords are `tracking_uri` and `experiment`.
    """

    def show(self, mask: Any, **place: Any) -> dict[str, Any]:
        """What a mask keeps of each tensor, and the recipe that drew it."""
        return self._call("show_mask", (mask,), place)

    def diff(self, mask: Any, other: Any, **place: Any) -> dict[str, Any]:
        """How much of what one mask keeps another mask keeps too."""
        return self._call("diff_masks", (mask, other), place)

    def verify(self, mask: Any, **place: Any) -> dict[str, Any]:
        """Check a mask's shapes, counts and digest."""
        return self._call("verify_mask", (mask,), place)

    def redraw(self, mask: Any, out: str | Path | None = None, **place: Any) -> dict[str, Any]:
        """Draw a pool's mask again from its recipe, compare the bits, and write it to `out`."""
        return self._call("redraw_mask", (mask,), place, Path(out) if out else None)

    def _call(
        self, step: str, masks: tuple[Any, ...], place: dict[str, Any], *more: Any
    ) -> dict[str, Any]:
        names = []
        for mask in masks:
            name, found = _named(mask, "from_")
            names.append(name)
            place = {**found, **place}
        given = given_values(find_verb("predict"), place)
        with as_called():
            from rpmask.steps import mask as steps

            context = replace(fill(Tracking(), given), quiet=True).context()
            answer: dict[str, Any] = finite(getattr(steps, step)(*names, context, *more))
            return answer


mask = Masks()
