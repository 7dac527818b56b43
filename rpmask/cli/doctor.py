"""`rpmask doctor`: check this machine."""

from __future__ import annotations

import json

from rpmask.cli.options import verb
from rpmask.cli.tracking import Tracking


@verb(skip=("config", "plan", "system_metrics", "experiment", "tracking_uri", "force", "quiet"))
def doctor(tracking: Tracking) -> None:
    """Show what works on this machine: versions, devices, which settings are faster, how to start MLflow.

    Example: `rpmask doctor`
    """
    from rpmask.steps.doctor import examine

    findings = examine()
    if tracking.as_json:
        print(json.dumps(findings))
        return
    from rpmask.cli.show import show_findings

    show_findings(findings)
