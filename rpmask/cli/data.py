"""The data options, written once for every verb that loads a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from rpmask.cli import options as o
from rpmask.records import DataChoice

DEFAULT = DataChoice()


def _options(
    data_dir: o.DataDir = DEFAULT.data_dir,
    train: o.TrainFile = DEFAULT.train,
    dev: o.DevFile = DEFAULT.dev,
    text: o.Text = DEFAULT.text,
    text_pair: o.TextPair = DEFAULT.text_pair,
    label: o.Label = DEFAULT.label,
    kind: o.Kind = DEFAULT.kind,
    selection_rows: o.SelectionRows = DEFAULT.selection_rows,
    train_rows: o.TrainRows = DEFAULT.train_rows,
    max_length: o.MaxLength = DEFAULT.max_length,
) -> None:
    """The options in the order of the help."""


OPTIONS = inspect.signature(_options, eval_str=True).parameters


def with_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the data options where its parameter `data` stands; it gets them as one record.

    Typer reads a verb's options from its signature, so the signature is what is put together here.
    """
    signature = inspect.signature(verb, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += OPTIONS.values() if name == "data" else [parameter]

    @wraps(verb)
    def wrapped(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in OPTIONS}
        verb(data=o.data_choice(chosen), **given)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def changed(data: DataChoice) -> list[str]:
    """The data options that were given another value than their default, as the user writes them."""
    return [
        f"--{name.replace('_', '-')}"
        for name in OPTIONS
        if getattr(data, name) != getattr(DEFAULT, name)
    ]


def check_task(task: str, data: DataChoice) -> None:
    """Refuse a task that is unknown or nowhere, before anything heavy is loaded."""
    from rpmask.tasks.registry import check_within_reach

    if data.train is None:
        check_within_reach(task, Path(data.data_dir) if data.data_dir else None)
