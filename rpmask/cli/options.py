"""Options made from settings: a verb takes records, and Typer sees an option for each of their settings.

    @verb()
    def select(source: Source, request: SelectRequest, given: Given, tracking: Tracking) -> None:

Typer reads a verb's options from its signature, so `verb` puts a signature together in which options stand
for the records. The verb gets the records filled in, and `given`: the options that the user typed.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from functools import wraps
from keyword import iskeyword
from operator import attrgetter
from typing import Annotated, Any, TypeVar

import typer

from rpmask.cli.app import app
from rpmask.errors import RpmaskError
from rpmask.settings import Setting, flags_of, has_option, is_group, setting_of

Given = dict[str, Any]
R = TypeVar("R")

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
CONTEXT = inspect.Parameter("ctx", KEYWORD_ONLY, annotation=typer.Context)


def verb(
    *,
    skip: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
    group: typer.Typer = app,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function to the app, or to a group of it; its records become options, except those in `skip`.

    `defaults` are records with the defaults of special cases, for the help: {"with --recipe paper": record}.
    An option of the same name that the verb itself declares replaces a record's.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        declared = inspect.signature(function, eval_str=True).parameters
        kinds: dict[str, Any] = {name: p.annotation for name, p in declared.items()}
        records = {name: kinds[name]() for name in declared if is_dataclass(kinds[name])}
        own = [name for name in declared if name not in records and name != "given"]
        found: dict[str, Field[Any]] = {}
        parameters = [CONTEXT]
        for name, parameter in declared.items():
            if name in own:
                parameters.append(parameter.replace(kind=KEYWORD_ONLY))
            for path, spec, about, kind in _settings(records.get(name)):
                option = option_name(spec)
                if option not in (*skip, *own, *found):
                    values = _values(path, records[name], defaults or {})
                    parameters.append(_parameter(spec, about, kind, values))
                    found[option] = spec

        @wraps(function)
        def wrapped(ctx: typer.Context, **values: Any) -> None:
            given = {
                option: _value(spec, values[option])
                for option, spec in found.items()
                if _typed(ctx, option) and values[option] is not None
            }
            filled = {name: fill(record, given) for name, record in records.items()}
            extra = {"given": given} if "given" in declared else {}
            function(**filled, **{name: values[name] for name in own}, **extra)

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
        group.command()(wrapped)
        return wrapped

    return decorate


def fill(record: R, given: Mapping[str, Any]) -> R:
    """The record with the values of the options that were given, in the records that it holds as well."""
    changes = {}
    for spec in fields(record):  # type: ignore[arg-type]
        if is_group(spec):
            changes[spec.name] = fill(getattr(record, spec.name), given)
        elif has_option(spec) and option_name(spec) in given:
            changes[spec.name] = given[option_name(spec)]
    return replace(record, **changes)  # type: ignore[type-var]


def option_name(spec: Field[Any]) -> str:
    """The name of a field's option as a parameter: `from_` for --from, `race_rate` for --race-rate."""
    name = flags_of(spec)[0].partition("/")[0].removeprefix("--").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def typed(given: Given, names: Iterable[str]) -> list[str]:
    """Those of the options that were given, as the user writes them."""
    return [f"--{name.rstrip('_').replace('_', '-')}" for name in names if name in given]


def options_of(record: type) -> list[str]:
    """The names of a record's options."""
    return [option_name(spec) for _, spec, *_ in _settings(record())]


def _settings(record: Any, path: str = "") -> Iterator[tuple[str, Field[Any], Setting, Any]]:
    """The path, the field, the setting and the type of every option of a record."""
    if record is None:
        return
    kinds = typing.get_type_hints(type(record))
    for spec in fields(record):
        about = setting_of(spec)
        if is_group(spec):
            yield from _settings(getattr(record, spec.name), f"{path}{spec.name}.")
        elif about is not None and has_option(spec):
            if about.panel is None:
                about = replace(about, panel=getattr(record, "PANEL", ""))
            yield f"{path}{spec.name}", spec, about, kinds[spec.name]


def _values(path: str, record: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A setting's default, under the empty name, and its defaults in the special cases."""
    read = attrgetter(path)
    others = {when: read(one) for when, one in defaults.items() if type(one) is type(record)}
    return {"": read(record), **others}


def _parameter(
    spec: Field[Any], about: Setting, kind: Any, values: dict[str, Any]
) -> inspect.Parameter:
    option: dict[str, Any] = {"metavar": about.metavar, "rich_help_panel": about.panel or None}
    inner = _plain_type(kind)
    if about.auto:
        option |= {"parser": _or_auto(inner), "metavar": f"<{inner.__name__}>"}
    help_text = _help(about, values)
    info = typer.Option(*flags_of(spec), help=help_text, show_default=False, **option)
    default = values[""]
    if about.shown or isinstance(default, (tuple, dict)):
        default = None
    if any(value != default for value in values.values()):
        default = None
    return inspect.Parameter(
        option_name(spec),
        KEYWORD_ONLY,
        default=default,
        annotation=Annotated[inner | None, info],
    )


def _plain_type(kind: Any) -> Any:
    """The type that one value of an option is read as."""
    if typing.get_origin(kind) in (tuple, dict):
        return list[str]
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    return inner[0] if inner else kind


def _or_auto(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser for which `auto`, which MLproject passes, means that the option is not given."""

    def parse(text: str) -> Any:
        try:
            return None if text == "auto" else kind(text)
        except ValueError as error:
            raise typer.BadParameter(f"'{text}' is not a valid integer.") from error

    return parse


def _help(about: Setting, values: dict[str, Any]) -> str:
    """The help with its default: `Rows per step [default: 32; 64 with --recipe paper].`"""
    usual = about.shown or _shown(about, values[""])
    cases: dict[str, list[str]] = {}
    for when, value in values.items():
        if value != values[""]:
            cases.setdefault(_shown(about, value), []).append(when)
    if values[""] is False and not cases:
        usual = ""
    parts = [usual] if usual else []
    parts += [f"{shown} {' and '.join(whens)}" for shown, whens in cases.items()]
    return f"{about.help} [default: {'; '.join(parts)}]." if parts else f"{about.help}."


def _shown(about: Setting, value: Any) -> str:
    if value is None:
        return about.none
    if isinstance(value, bool):
        names = about.flags[0].split("/") if about.flags and "/" in about.flags[0] else ()
        return names[0 if value else 1] if names else ("on" if value else "off")
    if isinstance(value, (tuple, dict)):
        return ""
    return value if isinstance(value, str) else f"{value:g}"


def _value(spec: Field[Any], value: Any) -> Any:
    """An option's value as its field has it."""
    if isinstance(spec.default, tuple):
        return tuple(value)
    if isinstance(value, list):
        return dict(_key_and_value(flags_of(spec)[0], pair) for pair in value)
    return value


def _key_and_value(flag: str, pair: str) -> tuple[str, Any]:
    """`KEY=VALUE`; a value is JSON if it reads as JSON, else text."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise RpmaskError(
            f"{flag} '{pair}' is not KEY=VALUE.", f"For example {flag} max_steps=100."
        )
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _typed(context: typer.Context, name: str) -> bool:
    """Whether an option comes from the command line and is not a default."""
    source = context.get_parameter_source(name)
    return source is not None and "DEFAULT" not in source.name
