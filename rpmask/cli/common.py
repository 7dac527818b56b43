"""What every verb does around its step: the context it runs in, its model, how its result is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import finite
from rpmask.logs import be_verbose
from rpmask.records import DataChoice, SearchSpace

if TYPE_CHECKING:
    from rpmask.steps.context import Context

Given = frozenset[str]  # the parameters of a verb that the user gave, by name

BUILT_IN = ("demo", "digits")  # tasks that bring a model along
PAPER_MODEL = "bert-base-uncased"


@dataclass(frozen=True)
class Tracking:
    """Where a command's runs go, and how it answers."""

    experiment: str = "rpmask"
    tracking_uri: str | None = None
    force: bool = False
    as_json: bool = False
    quiet: bool | None = None  # False is --verbose

    def context(self) -> Context:
        """The context of one command."""
        from rpmask.cli.console import TalkingConsole
        from rpmask.steps.context import Context

        if self.quiet is False:
            be_verbose()
        return Context(
            tracking_uri=self.tracking_uri,
            experiment=self.experiment,
            force=self.force,
            console=TalkingConsole(quiet=bool(self.quiet or self.as_json)),
        )

    def say(self, line: str) -> None:
        """Print a line on stderr, unless --quiet or --json was given."""
        from rpmask.cli.console import TalkingConsole

        TalkingConsole(quiet=bool(self.quiet or self.as_json)).say(line)

    def show(self, verb: str, result: dict[str, Any]) -> None:
        """Print what the step found: one JSON object, or the verb's table."""
        if self.as_json:
            print(json.dumps(finite(result), allow_nan=False))
            return
        from rpmask.cli.deploy_tables import show

        show(verb, result)


def default_model(model: str | None, task: str, data: DataChoice, tracking: Tracking) -> str:
    """The model as given; else a built-in task's own, and the paper's encoder for other texts."""
    if model not in (None, "auto"):
        return model
    from rpmask.tasks.registry import check_within_reach, is_image_task, known_name

    if known_name(task) in BUILT_IN:
        return known_name(task)
    folder = Path(data.data_dir) if data.data_dir else None
    if data.train is None and is_image_task(task, folder):
        raise RpmaskError(
            f"The task '{task}' needs a model.",
            "Name one with --model: a folder, a hub id such as google/vit-base-patch16-224, or "
            "models:/NAME@ALIAS.",
        )
    from rpmask.train import model_hub as modelhub

    if data.train is None:  # report an unknown task before looking for a model
        check_within_reach(task, folder)
    tracking.say(f"No --model is given: {PAPER_MODEL}, the paper's.")
    modelhub.check_within_reach(PAPER_MODEL)
    return PAPER_MODEL


def search_space(
    temperature: str, sample_ratio: str, importance: str, allocation: str
) -> SearchSpace:
    """What the study may search, from the four options that say so."""
    from rpmask.cli.options import numbers
    from rpmask.randomized_masks.allocation import parse_allocation

    ranged = {"temperature": temperature, "sample_ratio": sample_ratio}
    return SearchSpace(
        temperature=numbers(temperature, "--temperature"),
        sample_ratio=numbers(sample_ratio, "--sample-ratio"),
        importances=tuple(part.strip() for part in importance.split(",")),
        allocations=tuple(parse_allocation(part.strip()) for part in allocation.split(",")),
        lists=tuple(name for name, text in ranged.items() if "," in text),
    )


def settled_precision(asked: str) -> str:
    """The precision asked for; of `auto`, the faster one here, which is then what the run records."""
    if asked != "auto":
        return asked
    from rpmask.steps.context import STATE_FOLDER
    from rpmask.train.precision import remembered_precision

    return remembered_precision(Path(STATE_FOLDER))


def check_task_of(source: str, own: str, task: str, given: Given) -> None:
    """Refuse a task that was asked for beside a run of another one."""
    from rpmask.tasks.registry import known_name

    if "task" in given and known_name(task) != own:
        raise RpmaskError(
            f"'{source}' is of the task '{own}', not '{task}'.",
            "Leave --task out, or name a run of that task.",
        )


def source_run(context: Context, source: str | None, step: str, task: str, given: Given) -> str:
    """The run to continue from; said when it was not named."""
    from rpmask.tasks.registry import known_name

    task = known_name(task)
    if source is not None:
        if "task" in given:
            from rpmask.tracking.registry import run_of

            own = context.tracker.task_of(run_of(context.tracker, source))
            check_task_of(source, own, task, given)
        return source
    run_id = context.tracker.latest(step, task)
    context.console.say(f"Continuing from the latest {step} of '{task}': run {run_id}.")
    return run_id


def settings(given: list[str] | None) -> dict[str, Any]:
    """`--set key=value` pairs; a value is JSON if it reads as JSON, else text."""
    found: dict[str, Any] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise RpmaskError(
                f"--set '{pair}' is not KEY=VALUE.", "For example --set max_steps=100."
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
