"""Frozen dataclasses that are written as JSON and read back with every field checked.

Standard library only. An id is the sha256 of a record's canonical JSON without default values, so adding a
field with a default changes no existing id.
"""

from __future__ import annotations

import hashlib
import json
import math
import types
import typing
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Self

from rpmask.errors import RpmaskError


def canonical_json(value: Any) -> str:
    """Return the canonical spelling of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_of(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """Base of every record: conversion to JSON, and back with each field checked."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a number that is not finite becomes null."""
        return typing.cast(dict[str, Any], finite(asdict(self)))

    def pick(self, *names: str) -> dict[str, Any]:
        """Return some of the fields as plain JSON values."""
        values = self.to_dict()
        return {name: values[name] for name in names}

    def without(self, *names: str) -> dict[str, Any]:
        """Return the other fields as plain JSON values."""
        return {name: value for name, value in self.to_dict().items() if name not in names}

    @classmethod
    def from_dict(cls, raw: Any, where: str = "") -> Self:
        """Build the record from parsed JSON; an error names the field that is missing or of another type."""
        return typing.cast(Self, _build(cls, raw, where or cls.__name__))

    @property
    def id(self) -> str:
        """Return the first 16 hex digits of the sha256 over the fields that differ from their defaults."""
        return digest_of(_without_defaults(self))[:16]


def finite(value: Any) -> Any:
    """Return the value with every number that JSON cannot hold replaced by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _default_of(spec: Any) -> Any:
    if spec.default is not MISSING:
        return spec.default
    return spec.default_factory() if spec.default_factory is not MISSING else MISSING


def _without_defaults(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            spec.name: _without_defaults(getattr(value, spec.name))
            for spec in fields(value)
            if getattr(value, spec.name) != _default_of(spec)
        }
    if isinstance(value, dict):
        return {key: _without_defaults(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_defaults(item) for item in value]
    return value


def _build(hint: Any, raw: Any, where: str) -> Any:
    """Convert parsed JSON to the annotated type, and refuse any other type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return raw
    if origin in (typing.Union, types.UnionType):
        if raw is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        return _build(inner[0], raw, where)
    if origin is tuple:
        if not isinstance(raw, (list, tuple)):
            raise _misfit(where, "a list", raw)
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(raw))
    if origin is dict:
        if not isinstance(raw, dict):
            raise _misfit(where, "an object", raw)
        return {str(key): _build(arguments[1], item, f"{where}.{key}") for key, item in raw.items()}
    if is_dataclass(hint):
        if not isinstance(raw, dict):
            raise _misfit(where, "an object", raw)
        hints = typing.get_type_hints(hint)
        known: dict[str, Any] = {}
        for spec in fields(hint):
            if spec.name in raw:
                known[spec.name] = _build(hints[spec.name], raw[spec.name], f"{where}.{spec.name}")
            elif _default_of(spec) is MISSING:
                raise RpmaskError(
                    f"{where} has no field '{spec.name}'.",
                    "The file is damaged or was not written by rpmask.",
                )
        return typing.cast(type[Any], hint)(**known)
    if hint is float and raw is None:
        return math.nan
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, hint) or (hint in (int, float) and isinstance(raw, bool)):
        raise _misfit(where, hint.__name__, raw)
    return raw


def _misfit(where: str, expected: str, raw: Any) -> RpmaskError:
    shown = repr(raw)
    return RpmaskError(
        f"{where} should be {expected}, not {shown[:60]}{'...' if len(shown) > 60 else ''}.",
        "The file is damaged or was not written by rpmask.",
    )
