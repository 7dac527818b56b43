"""The verbs as functions of the package: `rpmask.sample(task="rte", k=8)`.

A keyword is an option's name, with its default and its errors; the same functions run as on the command line.
A function takes the result of the step before it, or a run's id, as its first argument.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from rpmask.cli.environment_errors import as_user_error
from rpmask.cli.options import VERBS, Verb, fill
from rpmask.cli.tracking import Tracking
from rpmask.cli.typer_option import Option
from rpmask.cli.values import given_values
from rpmask.errors import RpmaskError
from rpmask.jsonrecord import finite
from rpmask.records import Pool, ScreenReport, Selection, StepRecord
from rpmask.results import FinetuneResult, JackpotResult
from rpmask.steps.requests import ReportRequest

# The record that a step writes beside the result.
RECORDS: dict[str, tuple[str, type[StepRecord]]] = {
    "sample": ("pool.json", Pool),
    "screen": ("screen.json", ScreenReport),
    "select": ("selection.json", Selection),
    "finetune": ("finetune.json", FinetuneResult),
    "jackpot": ("jackpot.json", JackpotResult),
}
STORE = "MLFLOW_TRACKING_URI"
# A verb reads the models and runs of this store, unless its caller names another.
PLACE = ("tracking_uri", "experiment")


class Result(dict[str, Any]):
    """What a verb found: the object that `--json` prints. Its keys are attributes as well.

    `record` is the whole record of a step. A notebook shows the table that the verb prints.
    """

    def __init__(self, verb: str, found: Mapping[str, Any], tracking: Tracking) -> None:
        super().__init__(finite(dict(found)))
        self._verb, self._tracking = verb, tracking

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"A result of `{self.__dict__.get('_verb')}` has no '{name}'."
            ) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __reduce__(self) -> tuple[Any, ...]:
        return Result, (self._verb, dict(self), self._tracking)

    @property
    def record(self) -> StepRecord | None:
        """The record that the step wrote: of a `sample` the `Pool`, of a `select` the `Selection`."""
        if self._verb not in RECORDS:
            return None
        name, kind = RECORDS[self._verb]
        artifacts = self._tracking.context().tracker.artifacts
        found: StepRecord = artifacts.record(self["run_id"], name, kind)
        return found

    @property
    def place(self) -> dict[str, Any]:
        """The store and the experiment of the run, as options."""
        return {name: getattr(self._tracking, name) for name in PLACE}

    def named_by(self, option: str) -> str:
        """What an option calls this result: its run, or the version that it registered for `model`."""
        if option != "model":
            return str(self["run_id"])
        if "model_uri" in self:  # an export
            return str(self["path"])
        model = self["champion" if self._verb == "run" else "model"]
        return f"models:/{model['name']}/{model['version']}"

    def _repr_html_(self) -> str:
        from rpmask.cli.show import as_html

        return as_html(self._verb, self)


def verb_function(name: str) -> Callable[..., Result]:
    """The function of a verb, with the verb's options as its keywords."""
    verb = find_verb(name)
    first = "from_" if "from_" in verb.options else next(iter(verb.arguments), None)

    def function(*source: Any, **options: Any) -> Result:
        if len(source) > (first is not None):
            raise RpmaskError(
                f"`rpmask.{name}` takes {'one run' if first else 'nothing'} without a keyword.",
                f"Write its options as keywords: rpmask.{name}(task=...).",
            )
        return _call(verb, {**options, **({first: source[0]} if first and source else {})})

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _description(verb)
    function.__signature__ = _signature(verb, first)  # type: ignore[attr-defined]
    return function


def find_verb(name: str) -> Verb:
    """A verb of the command line, with its options."""
    import_module(f"rpmask.cli.{name}")
    return VERBS[name]


def _call(verb: Verb, options: dict[str, Any]) -> Result:
    for name, value in list(options.items()):
        if isinstance(value, Result):
            options = {**value.place, **options, name: value.named_by(name)}
    arguments = {name: options.pop(name, None) for name in verb.arguments}
    with as_called():
        found, filled = verb(given_values(verb, options), **arguments)
    tracking = replace(filled["tracking"], run_file=None)  # which no other process can read
    return Result("plan" if tracking.plan else verb.name, found, tracking)


@contextmanager
def as_called() -> Iterator[None]:
    """The block of a function that a program calls: errors as on the command line, the store as it was.

    MLflow sets MLFLOW_TRACKING_URI to the store that a call names.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    before = os.environ.get(STORE)
    try:
        yield
    except RpmaskError:
        raise
    except Exception as error:
        known = as_user_error(error)
        if known is None:
            raise
        raise known from error
    finally:
        if before is None:
            os.environ.pop(STORE, None)
        else:
            os.environ[STORE] = before


def _description(verb: Verb) -> str:
    """The verb's help and its options, for `help()` and notebooks."""
    about = inspect.cleandoc(verb.function.__doc__ or "").partition("\n\nExample:")[0]
    lines = [f"    {option.name}: {verb.help[option.name]}" for option in _keywords(verb)]
    return "\n".join([about, "", "Options:", *lines])


def _signature(verb: Verb, first: str | None) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(option.name, keyword, default=None, annotation=option.kind)
        for option in _keywords(verb)
        if option.name != first
    ]
    if first:
        about = {"default": None, "annotation": Result | str | None}
        parameters.insert(
            0, inspect.Parameter(first, inspect.Parameter.POSITIONAL_OR_KEYWORD, **about)
        )
    return inspect.Signature(parameters, return_annotation=Result)


def _keywords(verb: Verb) -> list[Option]:
    return [option for option in verb.options.values() if option.name != "json"]


def report(**options: Any) -> Result:
    """Compare trained and searched models: a row per setting in `rows`; the page is logged to MLflow."""
    verb = find_verb("report")
    given = given_values(verb, options)
    request, tracking = fill(ReportRequest(), given), fill(Tracking(), given)
    with as_called():
        from rpmask.steps.report import report as compare
        from rpmask.tasks.registry import known_name

        if request.task:
            request = replace(request, task=known_name(request.task))
        return Result("report", compare(request, tracking.context()), tracking)


sample = verb_function("sample")
screen = verb_function("screen")
select = verb_function("select")
finetune = verb_function("finetune")
run = verb_function("run")
tune = verb_function("tune")
jackpot = verb_function("jackpot")
export = verb_function("export")
bench = verb_function("bench")
