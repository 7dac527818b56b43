"""The journal of the studies after a process died while it held the lock, or within a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna

from rpmask.tracking.journal import open_journal

DIE_WITH_THE_LOCK = """
import os
from pathlib import Path
from rpmask.tracking.journal import KernelLock
Path("optuna.journal").touch()
KernelLock(Path("optuna.journal")).acquire()
os._exit(9)
"""


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIE_WITH_THE_LOCK], cwd=tmp_path, check=False)
    assert died.returncode == 9
    study = optuna.create_study(storage=open_journal(tmp_path / "optuna.journal"))
    assert study.ask().number == 0


def test_half_a_line_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    study = optuna.create_study(storage=open_journal(path), study_name="one")
    study.ask()
    whole = path.read_bytes()
    study.ask()
    os.truncate(path, len(whole) + 20)
    again = optuna.load_study(storage=open_journal(path), study_name="one")
    assert len(again.get_trials()) == 1
    assert again.ask().number == 1
    assert len(optuna.load_study(storage=open_journal(path), study_name="one").get_trials()) == 2
