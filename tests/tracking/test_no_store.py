"""A verb that only reads says that there is no store, and creates none."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import rpmask

from rpmask.errors import RpmaskError
from rpmask.steps.context import Context
from rpmask.steps.mask import redraw_mask, show_mask
from rpmask.steps.predict import predict
from rpmask.steps.report import leaderboard
from rpmask.steps.requests import ReportRequest
from rpmask.steps.resolve import resolve_version

RUN = "0" * 32
VERBS = {
    "report": lambda context: leaderboard(ReportRequest(), context),
    "mask of a run": lambda context: show_mask(RUN, context),
    "mask of a candidate": lambda context: show_mask(f"{RUN}#0", context),
    "redraw": lambda context: redraw_mask(f"{RUN}#0", context),
    "predict": lambda context: list(predict("models:/rpmask-demo@champion", ["a"], "-", context)),
    "export": lambda context: resolve_version("models:/rpmask-demo@champion", context),
}


@pytest.mark.parametrize("uri", [None, "sqlite:///mistyped.db", "sqlite:///no/such/folder.db"])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_reading_creates_no_store(
    verb: object, uri: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RpmaskError, match="no tracking store at sqlite:///"):
        verb(Context(tracking_uri=uri))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["screen", "select", "finetune"])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([], "There is no finished"),
        (["--from", RUN], "There is no tracking store"),
        (["--tracking-uri", "sqlite:///no/such/folder.db"], "There is no tracking store"),
    ],
)
def test_a_verb_that_continues_creates_none(
    verb: str, source: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = rpmask([verb, *source], tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(RpmaskError, match="no tracking store"):
        Context(tracking_uri=f"sqlite:///{tmp_path}/empty.db").require_store()
    assert (tmp_path / "empty.db").stat().st_size == 0
