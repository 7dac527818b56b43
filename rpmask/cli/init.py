"""`rpmask init`: write a run file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rpmask.cli.options import VERBS, Given, verb
from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.settings import Checked, setting, setting_like
from rpmask.steps.defaults import starting_point
from rpmask.steps.jackpot_request import JackpotRequest, task_search
from rpmask.steps.requests import SampleRequest

FOR = ("run", "sample", "screen", "select", "finetune", "tune", "jackpot")


@dataclass(frozen=True)
class NewFile(Checked):
    """What a run file is for."""

    task: str = setting_like(SampleRequest, "task")
    model: str = setting_like(SampleRequest, "model")
    recipe: str = setting_like(SampleRequest, "recipe")
    verb: str = setting(
        "run", f"The verb that the file is for: {', '.join(FOR)}", "--for", choices=FOR
    )
    out: Path | None = setting(None, "File to write", none="VERB.yaml")
    force: bool = setting(False, "Replace the file if there is one")


@verb()
def init(request: NewFile, given: Given) -> None:
    """Write a run file: every option with its meaning and default, to be edited and given with --config.

    Example: `rpmask init --task rte --model bert-base-uncased`
    """
    request.check()
    import_module(f"rpmask.cli.{request.verb}")
    about = VERBS[request.verb]
    from rpmask.cli.run_file import write_run_file
    from rpmask.files import write_whole

    records: dict[str, Any] = {}
    if request.verb == "run":
        records["request"] = starting_point(request.recipe, request.task)
    elif request.verb == "jackpot":
        records["request"] = JackpotRequest(plan=task_search(request.task, DataChoice()))
    asked: Given = {"task": request.task}
    asked |= {name: given[name] for name in ("model", "recipe") if name in given}
    for name in asked:
        if name not in about.options:
            raise RpmaskError(
                f"`rpmask {request.verb}` has no option --{name}.", f"Leave --{name} out."
            )
    out = request.out or Path(f"{request.verb}.yaml")
    if out.exists() and not request.force:
        raise RpmaskError(
            f"There is a file '{out}' already.", "Name another with --out, or add --force."
        )
    write_whole(out, write_run_file(about, asked, records).encode())
    print(f"Wrote {out}: edit it, then `rpmask {request.verb} --config {out}`.")
