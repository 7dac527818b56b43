"""The options of a verb that makes or reads runs: where the runs are, and how the verb answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpmask.jsonrecord import finite
from rpmask.logs import be_verbose
from rpmask.settings import TRACKING, setting

if TYPE_CHECKING:
    from rpmask.steps.context import Context


@dataclass(frozen=True)
class Tracking:
    """Where a command's runs are, and how it answers."""

    experiment: str = setting("rpmask", "MLflow experiment", panel=TRACKING)
    tracking_uri: str | None = setting(
        None,
        "MLflow tracking server or database",
        none="MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder",
        panel=TRACKING,
    )
    config: Path | None = setting(
        None,
        "Run file: options in YAML, each by its name; an option on the command line wins",
        metavar="FILE",
        auto=True,
    )
    run_file: tuple[str, Callable[[], str]] | None = None  # of which verb, and its text
    plan: bool = setting(
        False, "Print what would be done and how long it takes here, and do nothing", "--plan"
    )
    system_metrics: bool = setting(
        False,
        "Log the load of processors, memory, disk and GPUs to every run, as MLflow's system metrics",
        "--system-metrics",
        panel=TRACKING,
    )
    force: bool = setting(False, "Compute again, even if the same step has already finished")
    as_json: bool = setting(
        False, "Print one JSON object on stdout and nothing else there", "--json"
    )
    quiet: bool | None = setting(
        None,
        "Hide progress (-q), or show library logs and tracebacks (-v)",
        "--quiet/--verbose",
        "-q/-v",
    )

    @property
    def silent(self) -> bool:
        """Whether stderr stays empty unless something fails."""
        return bool(self.quiet or self.as_json)

    def context(self) -> Context:
        """The context of one command."""
        from rpmask.cli.console import TalkingConsole
        from rpmask.steps.context import Context

        if self.quiet is False:
            be_verbose()
        if self.system_metrics:
            from rpmask.tracking.monitoring import check_installed

            check_installed()
        return Context(
            tracking_uri=self.tracking_uri,
            experiment=self.experiment,
            force=self.force,
            run_file=self.run_file,
            system_metrics=self.system_metrics,
            console=TalkingConsole(quiet=self.silent),
        )

    def say(self, line: str) -> None:
        """Print a line on stderr, unless --quiet or --json was given."""
        from rpmask.cli.console import TalkingConsole

        TalkingConsole(quiet=self.silent).say(line)

    def show(self, verb: str, result: dict[str, Any]) -> None:
        """Print the result of a step: one JSON object, or the verb's table."""
        if self.as_json:
            print(json.dumps(finite(result), allow_nan=False))
            return
        from rpmask.cli.show import show

        show("plan" if self.plan else verb, result)
