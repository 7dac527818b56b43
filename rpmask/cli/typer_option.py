"""One option made from a field: its name, its help with the defaults, and what Typer needs to parse it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields, replace
from keyword import iskeyword
from typing import Annotated, Any

import typer

from rpmask.errors import RpmaskError
from rpmask.settings import Setting, flags_of, has_option, is_group, setting_of


@dataclass(frozen=True)
class Option:
    """A field with a setting: where it is in a record, its type, and the setting."""

    path: str  # `plan.distill.labels`
    field: Field[Any]
    kind: Any
    setting: Setting

    @property
    def name(self) -> str:
        """The option as a parameter of a function."""
        return option_name(self.field)

    def text(self, default: Any, cases: dict[str, Any]) -> str:
        """The help with the default and those of special cases."""
        return _help(self.setting, default, cases)

    def parameter(self, default: Any, cases: dict[str, Any], text: str) -> inspect.Parameter:
        """The parameter that Typer reads."""
        about, kind = self.setting, plain_type(self.kind)
        settings: dict[str, Any] = {
            "metavar": about.metavar,
            "rich_help_panel": about.panel or None,
        }
        if about.auto:
            settings |= {"parser": _or_auto(kind), "metavar": f"<{kind.__name__}>"}
        info = typer.Option(*flags_of(self.field), help=text, show_default=False, **settings)
        varies = any(value != default for value in cases.values())
        if about.shown or varies or isinstance(default, (tuple, dict)):
            default = None
        kind = Annotated[kind | None, info]
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )

    def value(self, parsed: Any) -> Any:
        """A parsed value as the field holds it."""
        if isinstance(self.field.default, tuple):
            return tuple(parsed)
        if isinstance(parsed, list):
            return dict(_key_and_value(flags_of(self.field)[0], pair) for pair in parsed)
        return parsed


def option_name(spec: Field[Any]) -> str:
    """The name of a field's option as a parameter: `from_` for --from, `race_rate` for --race-rate."""
    name = flags_of(spec)[0].partition("/")[0].removeprefix("--").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def options_in(record: Any, path: str = "") -> Iterator[Option]:
    """The options of a record and of the records that it holds."""
    kinds = typing.get_type_hints(type(record))
    for spec in fields(record):
        about = setting_of(spec)
        if is_group(spec):
            yield from options_in(getattr(record, spec.name), f"{path}{spec.name}.")
        elif about is not None and has_option(spec):
            if about.panel is None:
                about = replace(about, panel=getattr(record, "PANEL", ""))
            yield Option(f"{path}{spec.name}", spec, kinds[spec.name], about)


def plain_type(kind: Any) -> Any:
    """The type of one value: int for `int | None`, and text for the items of a tuple or dict."""
    if typing.get_origin(kind) in (tuple, dict):
        return list[str]
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    return inner[0] if inner else kind


def _or_auto(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser that reads `auto`, which MLproject passes, as None: the option is not given."""

    def parse(text: str) -> Any:
        try:
            return None if text == "auto" else kind(text)
        except ValueError as error:
            raise typer.BadParameter(f"'{text}' is not a valid {kind.__name__}.") from error

    return parse


def _help(about: Setting, default: Any, cases: dict[str, Any]) -> str:
    """The help with its defaults: `Rows per step [default: 32; 64 with --recipe paper].`"""
    whens: dict[str, list[str]] = {}
    for when, value in cases.items():
        if value != default:
            whens.setdefault(_shown(about, value), []).append(when)
    usual = about.shown or _shown(about, default)
    if default is False and not whens:
        usual = ""
    parts = [usual, *(f"{shown} {' and '.join(names)}" for shown, names in whens.items())]
    text = "; ".join(part for part in parts if part)
    return f"{about.help} [default: {text}]." if text else f"{about.help}."


def _shown(about: Setting, value: Any) -> str:
    """A default as the help shows it."""
    if value is None:
        return about.none
    if isinstance(value, bool):
        names = (
            about.flags[0].split("/") if about.flags and "/" in about.flags[0] else ("on", "off")
        )
        return names[0 if value else 1]
    if isinstance(value, (tuple, dict)):
        return ""
    return value if isinstance(value, str) else f"{value:g}"


def _key_and_value(flag: str, pair: str) -> tuple[str, Any]:
    """Split `KEY=VALUE`; a value is JSON if it reads as JSON, else text."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise RpmaskError(
            f"{flag} '{pair}' is not KEY=VALUE.", f"For example {flag} max_steps=100."
        )
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
