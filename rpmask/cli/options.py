"""Options made from settings: a verb takes records, and Typer sees an option for each of their settings.

A setting is a field declared with `setting(...)` in a request (`steps/*request*.py`), a plan
(`train/plan.py`, `lottery_jackpots/plan.py`) or `records.py`.

    @verb()
    def select(source: Source, request: SelectRequest, given: Given, tracking: Tracking) -> None:

Typer reads the options of a verb from its signature. `verb` builds a signature in which options replace the
records. The verb gets the records filled in, and `given`: the options that the user typed, by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial, wraps
from operator import attrgetter
from typing import Any, TypeVar

import typer

from rpmask.cli.app import app
from rpmask.cli.typer_option import Option, option_name, options_in
from rpmask.settings import has_option, is_group

Given = dict[str, Any]
R = TypeVar("R")

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
CONTEXT = inspect.Parameter("ctx", KEYWORD_ONLY, annotation=typer.Context)


@dataclass(frozen=True)
class Verb:
    """A function and its options, however they are given: typed, as keywords, or in a file."""

    name: str
    function: Callable[..., Any]
    records: Mapping[str, Any]
    options: Mapping[str, Option]
    help: Mapping[str, str]  # what each option says, with its default
    arguments: Mapping[str, inspect.Parameter]  # words of the command line that are no options

    def __call__(self, given: Given, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """The function's result, and its records filled with the options that were given."""
        if "config" in given:
            from rpmask.cli.run_file import read_run_file

            given = {**read_run_file(given["config"], self), **given}
        filled = {name: fill(record, given) for name, record in self.records.items()}
        if "config" in self.options:
            keep = replace(filled["tracking"], run_file=(self.name, partial(self.run_file, given)))
            filled["tracking"] = keep
        extra = {"given": given} if "given" in inspect.signature(self.function).parameters else {}
        return self.function(**filled, **arguments, **extra), filled

    def run_file(self, given: Given) -> str:
        """The options that were given, as a run file with every option."""
        from rpmask.cli.run_file import write_run_file

        return write_run_file(self, given)


VERBS: dict[str, Verb] = {}


def verb(
    *,
    skip: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
    group: typer.Typer = app,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Add a function to the app, or to a group of it; its records become options, except those in `skip`.

    `defaults` are records with the defaults of special cases, for the help: {"with --recipe paper": record}.
    Of two options with the same name the first one stays. A result that the function returns is shown.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        declared = inspect.signature(function, eval_str=True).parameters
        kinds: dict[str, Any] = {name: p.annotation for name, p in declared.items()}
        records = {name: kinds[name]() for name in declared if is_dataclass(kinds[name])}
        own = [name for name in declared if name not in records and name != "given"]
        options: dict[str, Option] = {}
        texts: dict[str, str] = {}
        parameters = [CONTEXT]
        for record in records.values():
            special = {w: one for w, one in (defaults or {}).items() if type(one) is type(record)}
            for option in options_in(record):
                if option.name not in (*skip, *own, *options):
                    read = attrgetter(option.path)
                    cases = {when: read(one) for when, one in special.items()}
                    texts[option.name] = option.text(read(record), cases)
                    parameters.append(option.parameter(read(record), cases, texts[option.name]))
                    options[option.name] = option
        arguments = {name: declared[name].replace(kind=KEYWORD_ONLY) for name in own}
        parameters += arguments.values()
        made = Verb(function.__name__, function, records, options, texts, arguments)
        if group is app:
            VERBS[made.name] = made

        @wraps(function)
        def wrapped(ctx: typer.Context, **values: Any) -> None:
            given = {
                name: option.value(values[name])
                for name, option in options.items()
                if values[name] is not None and _is_typed(ctx, name)
            }
            result, filled = made(given, **{name: values[name] for name in own})
            if result is not None:
                filled["tracking"].show(made.name, result)

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
        group.command()(wrapped)
        return wrapped

    return decorate


def fill(record: R, given: Mapping[str, Any]) -> R:
    """The record, and the records that it holds, with the values of the options that were given."""
    changes = {}
    for spec in fields(record):  # type: ignore[arg-type]
        if is_group(spec):
            changes[spec.name] = fill(getattr(record, spec.name), given)
        elif has_option(spec) and option_name(spec) in given:
            changes[spec.name] = given[option_name(spec)]
    return replace(record, **changes)  # type: ignore[type-var]


def typed(given: Given, names: Iterable[str]) -> list[str]:
    """Those of the options that were given, as the user writes them."""
    return [f"--{name.rstrip('_').replace('_', '-')}" for name in names if name in given]


def options_of(record: type) -> list[str]:
    """The names of a record's options."""
    return [option.name for option in options_in(record())]


def _is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option comes from the command line and is not a default."""
    source = context.get_parameter_source(name)
    return source is not None and "DEFAULT" not in source.name
