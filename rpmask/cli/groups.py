"""Options that several verbs have, written once: a verb names the group, and gets one record of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from rpmask.cli import knobs as n
from rpmask.cli import options as o
from rpmask.cli.common import Given, Tracking, search_space
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.requests import SampleRequest, ScreenRequest

DATA, SAMPLING, RACING, TRACKING = DataChoice(), SampleRequest(), ScreenRequest(), Tracking()
SPACE = SAMPLING.space


def _data(
    data_dir: o.DataDir = DATA.data_dir,
    train: o.TrainFile = DATA.train,
    dev: o.DevFile = DATA.dev,
    text: o.Text = DATA.text,
    text_pair: o.TextPair = DATA.text_pair,
    label: o.Label = DATA.label,
    kind: o.Kind = DATA.kind,
    selection_rows: o.SelectionRows = DATA.selection_rows,
    train_rows: o.TrainRows = DATA.train_rows,
    max_length: o.MaxLength = DATA.max_length,
) -> None:
    """The options in the order of the help, as in the other groups."""


def _sampling(
    temperature: n.Temperature = SPACE.spelled("temperature"),
    sample_ratio: n.SampleRatio = SPACE.spelled("sample_ratio"),
    importance: n.Importance = ",".join(SPACE.importances),
    allocation: n.Allocation = "uniform,global",
    granularity: n.Granularity = SAMPLING.granularity,
    include: n.Include = None,
    exclude: n.Exclude = None,
    calibration_rows: n.CalibrationRows = SAMPLING.calibration_rows,
    sampler: n.Sampler = SAMPLING.sampler,
) -> SampleRequest:
    """How masks are drawn; the verb says of what."""
    return SampleRequest(
        space=search_space(temperature, sample_ratio, importance, allocation),
        granularity=granularity,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        calibration_rows=calibration_rows,
        sampler=sampler,
    )


def _racing(
    rungs: n.Rungs = RACING.rungs,
    eta: n.Eta = RACING.eta,
    twins: n.Twins = RACING.twins,
    race_rate: n.RaceRate = RACING.learning_rate,
    race_refit: n.RaceRefit = RACING.refit,
    race_distill: n.RaceDistill = RACING.distilled,
    workers: o.Workers = RACING.workers,
    threads: o.RaceThreads = None,
    engine: o.Engine = RACING.engine,
    address: o.Address = None,
    cpus_per_candidate: o.CpusPerCandidate = None,
    gpus_per_candidate: o.GpusPerCandidate = RACING.gpus_per_candidate,
) -> ScreenRequest:
    """How and where candidates race; the verb says how long."""
    return ScreenRequest(
        rungs=rungs,
        eta=eta,
        twins=twins,
        learning_rate=race_rate,
        refit=race_refit,
        distilled=race_distill,
        workers=workers,
        threads=threads,
        engine=engine,
        address=address,
        cpus_per_candidate=cpus_per_candidate,
        gpus_per_candidate=gpus_per_candidate,
    )


def _tracking(
    experiment: o.Experiment = TRACKING.experiment,
    tracking_uri: o.TrackingUri = TRACKING.tracking_uri,
    force: o.Force = TRACKING.force,
    as_json: o.Json = TRACKING.as_json,
    quiet: o.Quiet = TRACKING.quiet,
) -> None:
    """The last options of every verb that makes runs."""


GIVEN = "given"
NONE_GIVEN: Given = frozenset()
CONTEXT = inspect.Parameter(
    "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
)


@dataclass(frozen=True)
class Group:
    """The options, by name, and what makes a record of them."""

    options: dict[str, inspect.Parameter]
    record: Callable[[dict[str, Any]], Any]


def _group(options: Callable[..., Any], record: Callable[[dict[str, Any]], Any]) -> Group:
    return Group(dict(inspect.signature(options, eval_str=True).parameters), record)


# By the name of the parameter that stands for them in a verb.
GROUPS = {
    "data": _group(_data, o.data_choice),
    "sampling": _group(_sampling, lambda chosen: _sampling(**chosen)),
    "racing": _group(_racing, lambda chosen: _racing(**chosen)),
    "tracking": _group(_tracking, lambda chosen: Tracking(**chosen)),
}


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb a group's options where a parameter stands for it; it gets them as one record.

    A verb with a parameter `given` is told which options the user gave; a default is not given.
    Typer reads a verb's options from its signature, so the signature is what is put together here.
    """
    signature = inspect.signature(verb, eval_str=True)
    named = [name for name in signature.parameters if name in GROUPS]
    wants_given = GIVEN in signature.parameters
    parameters: list[inspect.Parameter] = [CONTEXT] if wants_given else []
    for name, parameter in signature.parameters.items():
        if name != GIVEN:
            parameters += GROUPS[name].options.values() if name in GROUPS else [parameter]

    @wraps(verb)
    def wrapped(**given: Any) -> None:
        records: dict[str, Any] = {}
        if wants_given:
            records[GIVEN] = _typed(given.pop(CONTEXT.name))
        for name in named:
            chosen = {option: given.pop(option) for option in GROUPS[name].options}
            records[name] = GROUPS[name].record(chosen)
        verb(**records, **given)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def _typed(context: typer.Context) -> Given:
    """The options of the command line and of the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(n for n, source in sources.items() if source and "DEFAULT" not in source.name)


def among(given: Given, *names: str) -> list[str]:
    """Those of these options, or of a group's, that were given, as the user writes them."""
    every = [
        option for name in names for option in (GROUPS[name].options if name in GROUPS else [name])
    ]
    return [f"--{name.replace('_', '-')}" for name in every if name in given]


def named(model: str | None) -> list[str]:
    """--model, if one was; `auto` names none."""
    return ["--model"] * (model not in (None, "auto"))


# The options that define the search space.
SPACE_OPTIONS = ("temperature", "sample_ratio", "importance", "allocation")
SETTLED = "masks are drawn for that run's model and data"


def refuse_beside(what: str, given: Sequence[str], why: str) -> None:
    """Refuse options that an option which settles them was given beside."""
    if given:
        raise RpmaskError(
            f"{' and '.join(given)} cannot go with {what}: {why}.", "Leave out one or the other."
        )


def refuse_space(given: Given, *, like: str | None = None, recipe: str = "default") -> None:
    """Refuse search-space options where the study or the recipe fixes the space."""
    options = among(given, *SPACE_OPTIONS)
    if like is not None:
        why = "its study keeps the importances, allocations, temperatures and ratios that it began with"
        refuse_beside("--like", options, why)
    if recipe == "paper":
        why = "it draws around magnitude at its own temperature and ratios"
        refuse_beside("--recipe paper", options, why)


def check_task(task: str, data: DataChoice) -> None:
    """Refuse a task that is unknown or nowhere, before anything heavy is loaded."""
    from rpmask.tasks.registry import check_within_reach

    if data.train is None:
        check_within_reach(task, Path(data.data_dir) if data.data_dir else None)
