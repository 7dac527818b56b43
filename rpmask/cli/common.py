"""What every verb does around its step: the context it runs in, its model, how its result is printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.records import SearchSpace

if TYPE_CHECKING:
    from rpmask.steps.context import Context

BUILT_IN = ("demo", "digits")  # tasks that bring a model along


def new_context(
    experiment: str, tracking_uri: str | None, force: bool, quiet: bool, as_json: bool
) -> Context:
    """The context of one command."""
    from rpmask.cli.console import TalkingConsole
    from rpmask.steps.context import Context

    return Context(
        tracking_uri=tracking_uri,
        experiment=experiment,
        force=force,
        console=TalkingConsole(quiet=quiet or as_json),
    )


def finish(verb: str, result: dict[str, Any], as_json: bool) -> None:
    """Print what the step found: one JSON object, or the verb's table."""
    if as_json:
        print(json.dumps(result))
        return
    from rpmask.cli.deploy_tables import show

    show(verb, result)


def default_model(model: str | None, task: str) -> str:
    """The model as given, or the one a built-in task brings along."""
    if model not in (None, "auto"):
        return model
    if task in BUILT_IN:
        return task
    raise RpmaskError(
        f"The task '{task}' needs a model.",
        "Name one with --model: a folder, a hub id such as bert-base-uncased, or models:/NAME@ALIAS.",
    )


def search_space(
    temperature: str, sample_ratio: str, importance: str, allocation: str
) -> SearchSpace:
    """What the study may search, from the four options that say so."""
    from rpmask.cli.options import numbers
    from rpmask.masks.allocation import parse_allocation

    return SearchSpace(
        temperature=numbers(temperature, "--temperature"),
        sample_ratio=numbers(sample_ratio, "--sample-ratio"),
        importances=tuple(part.strip() for part in importance.split(",")),
        allocations=tuple(parse_allocation(part.strip()) for part in allocation.split(",")),
    )


def listed(values: tuple[float, ...]) -> str:
    """A range as it is typed."""
    return f"{values[0]:g}..{values[-1]:g}"


def settled_precision(asked: str) -> str:
    """The precision asked for; of `auto`, the faster one here, which is then what the run records."""
    if asked != "auto":
        return asked
    from rpmask.learn.precision import faster_precision

    return faster_precision()
