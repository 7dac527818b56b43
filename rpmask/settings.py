"""A field that a user can set: default, help, limits and spelling, stated once where the field is declared.

The command line makes its options from these (`cli/options.py`), and `Checked.check` refuses values outside
the limits. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record

# The panels of `--help`, beside the general one.
SAMPLING, SCREENING, ENGINE = "Sampling", "Screening", "Engine"
TRAINING, SEARCH, DATA, TRACKING = "Training", "Search", "Data", "Tracking"

_KEY = "rpmask"


@dataclass(frozen=True)
class Setting:
    """What `--help` says about a field, and the values that the field accepts.

    A field without help has limits but no option. The help shows `shown` as the default instead of the
    field's value, and `none` where the value is None.
    """

    help: str = ""
    flags: tuple[str, ...] = ()
    panel: str | None = None  # the panel of `--help`; that of the record if None
    metavar: str | None = None
    shown: str = ""
    none: str = ""
    auto: bool = False  # `auto` means that the option is not given, as MLproject says it
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    hint: str = ""

    @property
    def limits(self) -> str:
        """The accepted numbers in words."""
        low = f"{self.at_least:g} or more" if self.at_least is not None else ""
        low = f"above {self.above:g}" if self.above is not None else low
        high = f"below {self.below:g}" if self.below is not None else ""
        return " and ".join(part for part in (low, high) if part)

    def accepts(self, number: float) -> bool:
        """Whether a number is finite and inside the limits."""
        return (
            math.isfinite(number)
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )


def setting(default: Any, help: str = "", *flags: str, **about: Any) -> Any:
    """Declare a dataclass field with a `Setting`; `about` holds the other fields of the `Setting`."""
    metadata = {_KEY: Setting(help, flags, **about)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def setting_like(record: type, name: str, default: Any = None, **about: Any) -> Any:
    """Declare a field like another record's; `default` and `about` replace what differs."""
    (spec,) = (spec for spec in fields(record) if spec.name == name)
    metadata = {_KEY: replace(spec.metadata[_KEY], **about)}
    return field(default=spec.default if default is None else default, metadata=metadata)


def settings_of(record: Callable[[], Any]) -> Any:
    """Declare a field that holds another record, whose settings become options as well."""
    return field(default_factory=record, metadata={_KEY: None})


def is_group(spec: Field[Any]) -> bool:
    """Whether a field was declared with `settings_of`."""
    return spec.metadata.get(_KEY, ...) is None


def setting_of(spec: Field[Any]) -> Setting | None:
    """A field's `Setting`, if it has one."""
    return spec.metadata.get(_KEY)


def has_option(spec: Field[Any]) -> bool:
    """Whether an option sets a field; a field with limits only has none."""
    about = setting_of(spec)
    return about is not None and bool(about.help)


def flags_of(spec: Field[Any]) -> tuple[str, ...]:
    """The option names of a field, as a user types them."""
    about = setting_of(spec)
    return (about.flags if about else ()) or (f"--{spec.name.replace('_', '-')}",)


class Checked(Record):
    """A record whose fields have limits; `panel` is the panel of its options in `--help`."""

    PANEL: ClassVar[str] = ""

    def __init_subclass__(cls, panel: str = "", **others: Any) -> None:
        super().__init_subclass__(**others)
        cls.PANEL = panel

    def check(self) -> None:
        """Refuse a value outside its field's limits, here and in the records that this one holds."""
        for spec in fields(self):
            value, about = getattr(self, spec.name), setting_of(spec)
            if isinstance(value, Checked):
                value.check()
            elif about is not None:
                _check(spec, about, value)


def _check(spec: Field[Any], about: Setting, value: Any) -> None:
    named = about.help or about.flags
    name = flags_of(spec)[0].partition("/")[0] if named else spec.name
    for item in value if isinstance(value, tuple) else (value,):
        if item is None:
            continue
        if about.choices and item not in about.choices:
            raise RpmaskError(
                f"{name} has no value '{item}'.",
                about.hint or f"Give one of {', '.join(about.choices)}.",
            )
        if about.limits and not about.accepts(item):
            raise RpmaskError(
                f"{name} is {item:g}; it must be {about.limits}.",
                about.hint or _default_hint(name, spec, about),
            )


def _default_hint(name: str, spec: Field[Any], about: Setting) -> str:
    if spec.default is None or about.shown:
        return f"Leave {name} out for the default: {about.shown or about.none or 'none'}."
    ends = spec.default if isinstance(spec.default, tuple) else (spec.default,)
    return f"The default is {name} {'..'.join(f'{end:g}' for end in ends)}."
