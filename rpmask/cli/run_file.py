"""Run files: the options of a verb in YAML, each by its name.

    task: rte
    levels: 0.54,0.83,0.92,0.97
    learning-rate: 4e-4

`--config FILE` reads one, `rpmask init` writes one, and every run keeps one as an artifact. Numbers and words
are those of YAML 1.2: `4e-4` is a number, and `off` is a word.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import yaml

from rpmask import __version__
from rpmask.cli.options import Given, Verb
from rpmask.cli.typer_option import Option, options_in
from rpmask.cli.values import given_values
from rpmask.errors import RpmaskError
from rpmask.settings import flags_of

NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS = (
    ("tag:yaml.org,2002:null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+"), list("-+0123456789")),
    ("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789")),
)
# Where a run is tracked may hold a password, and decides nothing.
LEFT_OUT = {
    "config",
    "experiment",
    "tracking_uri",
    "storage",
    "address",
    "force",
    "json",
    "plan",
    "quiet",
}


class Loader(yaml.SafeLoader):
    """Reads the words of YAML 1.2."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


class Dumper(yaml.SafeDumper):
    """Puts text in quotes where `Loader` would read something else."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _kind in (Loader, Dumper):
    for _tag, _words, _first in WORDS:
        _kind.add_implicit_resolver(_tag, re.compile(f"^(?:{_words.pattern})$"), _first)
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def read_run_file(path: Path, verb: Verb) -> Given:
    """The options in a file; an error names the line."""
    hint = f"`rpmask init --for {verb.name}` writes one."
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RpmaskError(
            f"The run file '{path}' cannot be read: {error.strerror}.", hint
        ) from error
    except UnicodeDecodeError as error:
        raise RpmaskError(f"The run file '{path}' is not UTF-8.", hint) from error
    lines: dict[str, int] = {}
    values: dict[str, Any] = {}
    try:
        for name, value, line in _entries(text):
            if name in values:
                raise RpmaskError(
                    f"{path}, line {line}: '{name}' is given twice.", "Leave one of the two out."
                )
            values[name], lines[name] = value, line
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RpmaskError(
            f"{path}, line {line}: {error.problem}.",
            f"Write one option a line: `task: rte`. {hint}",
        ) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise RpmaskError(f"{path} is not YAML: {error}.", hint) from error
    if "config" in values:
        raise RpmaskError(
            f"{path}, line {lines['config']}: a run file names no other.", "Leave config out."
        )
    return given_values(verb, values, lambda name: f"{path}, line {lines[name]}: ")


def _entries(text: str) -> list[tuple[str, Any, int]]:
    """The names in a file, their values and their lines."""
    loader = Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise yaml.MarkedYAMLError(
                problem="there is no option's name", problem_mark=root.start_mark
            )
        return [
            (str(key.value), loader.construct_object(node, deep=True), key.start_mark.line + 1)
            for key, node in root.value
        ]
    finally:
        loader.dispose()


def write_run_file(verb: Verb, given: Given, records: Mapping[str, Any] | None = None) -> str:
    """A run file with the options that are given, and the others as comments with their defaults.

    `records` replace those of the verb, where a task or a recipe has defaults of its own.
    """
    parts = [
        f"# Options of `rpmask {verb.name}`, written by rpmask {__version__}. To use them:\n"
        f"#     rpmask {verb.name} --config FILE\n"
        "# A line that begins with # is a comment, which shows the default of an option that is not given.\n"
        "# An option on the command line wins over the one in the file.\n"
    ]
    panels: dict[str, list[str]] = {}
    for name, option in verb.options.items():
        if name in LEFT_OUT:
            continue
        value = given.get(name, _default(verb, option, records or {}))
        line = f"{flag_name(option)}:{_yaml(value)}"
        about = textwrap.wrap(" ".join(verb.help[name].split()), 96)
        lines = [*(f"# {text}" for text in about), line if name in given else f"#{line}"]
        panels.setdefault(option.setting.panel or "General", []).append("\n".join(lines) + "\n")
    for panel, entries in panels.items():
        parts += [f"# ---- {panel}\n", *entries]
    return "\n".join(parts)


def flag_name(option: Option) -> str:
    """The name of an option in a file: `learning-rate`."""
    return flags_of(option.field)[0].partition("/")[0].removeprefix("--")


def _default(verb: Verb, option: Option, records: Mapping[str, Any]) -> Any:
    """The value that a record has without the option; None where it depends on what is found later."""
    if option.setting.shown:
        return None
    for name, record in verb.records.items():
        if any(
            found.path == option.path and found.field == option.field
            for found in options_in(record)
        ):
            return attrgetter(option.path)(records.get(name, record))
    raise AssertionError(f"no record of {verb.name} has {option.path}")


def _yaml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, Path):
        value = str(value)
    text = yaml.dump(
        value,
        Dumper=Dumper,
        default_flow_style=True,
        width=math.inf,
        allow_unicode=True,
        sort_keys=False,
    )
    return " " + text.removesuffix("\n").removesuffix("\n...")
