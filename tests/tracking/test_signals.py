"""A signal waits until a call to the store's database has ended, and no longer."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpmask.tracking import signals
from rpmask.tracking.signals import Client, signals_deferred

STORE = "sqlite:///mlflow.db"


class Stopped(Exception):
    """What the handler of these tests raises."""


@pytest.fixture(autouse=True)
def stopping() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


def signalled(uri: str, times: int) -> Iterator[int]:
    """A nested deferral during which signals arrive; yields the number of each that it survives."""
    with signals_deferred(uri), signals_deferred(uri):
        for time in range(times):
            signal.raise_signal(signal.SIGTERM)
            yield time


@pytest.mark.parametrize(
    ("times", "again", "survived"), [(1, 0.0, [0]), (2, 0.0, [0]), (2, 60.0, [0, 1])]
)
def test_the_first_signal_is_deferred_and_a_later_one_is_not(
    times: int, again: float, survived: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal at once, which a launcher may send, is deferred with the first."""
    monkeypatch.setattr(signals, "AGAIN_SECONDS", again)
    found: list[int] = []
    with pytest.raises(Stopped):
        found.extend(signalled(STORE, times))
    assert found == survived
    with pytest.raises(Stopped):  # the former handlers are back
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with `rpmask ... &`
    try:
        with signals_deferred(STORE):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_are_not_deferred_for_a_server() -> None:
    with pytest.raises(Stopped):
        next(signalled("http://127.0.0.1:5000", 1))


def test_an_error_inside_is_raised_and_handlers_are_restored() -> None:
    with pytest.raises(ZeroDivisionError), signals_deferred(STORE):
        _ = 1 / 0
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)


def test_a_stopped_client_leaves_the_database_unlocked(tmp_path: Path) -> None:
    client = Client(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run("0").info.run_id

    from sqlalchemy import Engine, event

    def stop(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    event.listen(Engine, "commit", stop)
    try:
        with pytest.raises(Stopped) as stopped:
            client.set_tag(run, "said", "whole")
    finally:
        event.remove(Engine, "commit", stop)
    # While the exception is alive, and all of its frames with it, another connection may write.
    with sqlite3.connect(tmp_path / "mlflow.db", timeout=0) as other:
        other.execute("UPDATE tags SET value = 'and again'")
    assert stopped.value
    assert client.get_run(run).data.tags["said"] == "and again"
