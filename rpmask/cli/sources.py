"""What a verb works on: the run that it continues, or a model and a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.cli.options import Given, options_of, typed
from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.settings import setting, setting_like
from rpmask.steps.requests import SampleRequest

if TYPE_CHECKING:
    from rpmask.steps.context import Context

BUILT_IN = ("demo", "digits")  # tasks that have a model
PAPER_MODEL = "bert-base-uncased"
DATA_OPTIONS = options_of(DataChoice)
HAS_ITS_OWN = "masks are drawn for that run's model and data"


@dataclass(frozen=True)
class Source:
    """The run that a verb continues."""

    run: str | None = setting(
        None,
        "Run to continue from",
        "--from",
        metavar="RUN_ID",
        none="the latest finished run of the step before",
    )
    task: str = setting_like(SampleRequest, "task")

    def find(self, step: str, context: Context, given: Given) -> str:
        """The run as given, or the latest finished run of the step for the task."""
        from rpmask.tasks.registry import known_name
        from rpmask.tracking.registry import run_of

        if self.run is not None:
            context.require_store()
            if "task" in given:
                own = context.tracker.task_of(run_of(context.tracker, self.run))
                check_task_of(self.run, own, given)
            return self.run
        task = known_name(self.task)
        run_id = context.latest(step, task)
        context.console.say(f"Continuing from the latest {step} of '{task}': run {run_id}.")
        given["from_"] = run_id  # the run file names it, so that it reproduces the run
        return run_id


@dataclass(frozen=True)
class Champion:
    """The task whose champion a verb takes if no model is named."""

    task: str = setting_like(SampleRequest, "task")

    def unless(self, model: str | None) -> str:
        """The model as named, or the champion of the task."""
        from rpmask.steps.resolve import default_version

        return default_version(self.task) if model in (None, "auto") else model


def check_task_of(source: str, own: str, given: Given) -> None:
    """Refuse a --task that is not the task of the run it was given with."""
    from rpmask.tasks.registry import known_name

    task = given.get("task", own)
    if known_name(task) != own:
        raise RpmaskError(
            f"'{source}' is of the task '{own}', not '{task}'.",
            "Leave --task out, or name a run of that task.",
        )


def find_model(task: str, data: DataChoice, given: Given, tracking: Tracking) -> str:
    """The model as given, the task's own for a built-in task, or the paper's encoder for other texts.

    A task that is unknown or out of reach is refused first, before anything heavy is loaded.
    """
    from rpmask.heads.registry import HEADS
    from rpmask.tasks.registry import KNOWN_SPECS, check_within_reach, is_image_task, known_name

    name, model = known_name(task), given.get("model")
    if model is None and name in BUILT_IN:
        return name
    if data.train is None:
        folder = Path(data.data_dir) if data.data_dir else None
        if model is None and is_image_task(task, folder):
            raise RpmaskError(
                f"The task '{task}' needs a model.",
                "Name one with --model: a folder, a hub id such as google/vit-base-patch16-224, or "
                "models:/NAME@ALIAS.",
            )
        check_within_reach(task, folder)
    if model is not None:
        return str(model)
    known = KNOWN_SPECS.get(name)
    head = HEADS.get(data.kind or (known.kind if known else ""))
    if head is not None and head.pretrained:
        raise RpmaskError(
            f"The task '{task}' needs a model.",
            f"Name one with --model: a folder, a hub id or models:/NAME@ALIAS, of a class that ends in "
            f"{head.architecture}.",
        )
    from rpmask.train.model_place import check_available

    tracking.say(f"No --model is given; using {PAPER_MODEL}, the paper's.")
    check_available(PAPER_MODEL)
    return PAPER_MODEL


def refuse_with(what: str, given: Given, names: list[str], why: str) -> None:
    """Refuse options whose values `what` already fixes."""
    if found := typed(given, names):
        raise RpmaskError(
            f"{' and '.join(found)} cannot go with {what}: {why}.", "Leave out one or the other."
        )


def resolve_precision(precision: str) -> str:
    """Resolve `auto` to the faster precision on this machine; the run records the result."""
    if precision != "auto":
        return precision
    from rpmask.steps.context import STATE_FOLDER
    from rpmask.train.precision import remembered_precision

    return remembered_precision(Path(STATE_FOLDER))
