"""Verbs that train nothing import neither torch nor transformers (`benchmarks/starting.py` times them)."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    *("rpmask.charts", "rpmask.tracking.register_model", "rpmask.tracking.facts"),
    *("rpmask.steps.select", "rpmask.steps.report", "rpmask.steps.mask"),
)


def test_verbs_that_train_nothing_start_light() -> None:
    names = "[name for name in ('torch', 'transformers') if name in sys.modules]"
    code = f"import sys, {', '.join(MODULES)}\nprint({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
