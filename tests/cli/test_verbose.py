"""`--verbose` shows what libraries log and the traceback of an error; `--quiet` hides progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import NEW_STORE, rpmask


@pytest.mark.parametrize("option", ["--verbose", "-v"])
def test_verbose_shows_logs_and_the_traceback(option: str, tmp_path: Path) -> None:
    # Cold, since a forked command copies a database that was made before.
    done = rpmask([*NEW_STORE, option], tmp_path, cold=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "INFO mlflow.store.db" in done.stderr  # a new database is made
    assert "Traceback" in done.stderr
    *_, error, hint = done.stderr.splitlines()
    assert error.startswith("error: There is no model")
    assert hint.startswith("hint:")


def test_with_json_the_traceback_is_on_stderr(tmp_path: Path) -> None:
    done = rpmask(["screen", "--verbose", "--json"], tmp_path)
    assert "no finished `sample`" in json.loads(done.stdout)["error"]
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_otherwise_only_the_error_and_its_hint_are_printed(
    options: list[str], tmp_path: Path
) -> None:
    done = rpmask(["screen", *options], tmp_path)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
