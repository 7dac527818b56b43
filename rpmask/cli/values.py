"""Options given as values, by a Python program or in a file: their names, and their types.

The command line's own words are parsed by Typer; here a value has a type already, which must be the option's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rpmask.cli.options import Given, Verb
from rpmask.cli.typer_option import Option, plain_type
from rpmask.errors import RpmaskError
from rpmask.settings import flags_of

EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    list: "a list of texts",
    dict: "names with values",
}


def names_of(option: Option) -> dict[str, bool]:
    """The names of an option, with underscores; False for one that turns it off, like `train_embeddings`."""
    found = {}
    for flag in flags_of(option.field):
        on, _, off = flag.partition("/")
        for name, value in ((on, True), (off, False)):
            if name.startswith("--"):
                found[plain_name(name)] = value
    return found


def plain_name(name: str) -> str:
    """`learning_rate` for --learning-rate, learning-rate or learning_rate; `from` for `from_`."""
    return name.lstrip("-").replace("-", "_").rstrip("_")


def given_values(
    verb: Verb, values: Mapping[str, Any], where: Callable[[str], str] = lambda name: ""
) -> Given:
    """The options as a verb takes them; `where` begins an error: it says where a name was given.

    A value None, or `auto` where the option takes it, is that of an option that is not given.
    """
    known = {
        name: (option, on)
        for option in verb.options.values()
        for name, on in names_of(option).items()
    }
    for name in values:
        if plain_name(name) not in known:
            raise unknown_option(verb, name, where(name), known)
    given: Given = {}
    for name, value in values.items():
        option, on = known[plain_name(name)]
        if value is None or (option.setting.auto and value == "auto"):
            continue
        read = _read(option, value, f"{where(name)}{name}")
        if option.name in given:
            raise RpmaskError(f"{where(name)}'{name}' is given twice.", "Leave one of the two out.")
        given[option.name] = read if on else not read
    return given


def unknown_option(verb: Verb, name: str, where: str, known: Iterable[str]) -> RpmaskError:
    """The error for a name that is no option, with the nearest one."""
    near = difflib.get_close_matches(plain_name(name), sorted(known), n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}?" if near else f"See `rpmask {verb.name} --help`."
    return RpmaskError(f"{where}`rpmask {verb.name}` has no option '{name}'.", hint)


def _read(option: Option, value: Any, name: str) -> Any:
    kind = plain_type(option.kind)
    if isinstance(option.field.default, tuple):
        items = [value] if isinstance(value, str) else value
        if isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise _misfit(option, list, value, name)
    if kind == list[str]:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return dict(value)
        raise _misfit(option, dict, value, name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and value == int(value):
        return int(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is str:
        if isinstance(value, (list, tuple)):  # as in --levels 0.5,0.8
            return ",".join(str(item) for item in value)
        if number or isinstance(value, (str, Path)):
            return str(value)
    raise _misfit(option, kind, value, name)


def _misfit(option: Option, kind: Any, value: Any, name: str) -> RpmaskError:
    shown = repr(value)
    return RpmaskError(
        f"{name} should be {EXPECTED[kind]}, not {shown[:60]}{'...' if len(shown) > 60 else ''}.",
        f"{option.setting.help}.",
    )
