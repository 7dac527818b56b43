"""A signal waits until a call to the store's database has ended, and no longer."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpmask.tracking.client import Client, undivided

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
    """A call, inside of another one, that as many signals fall into; each that it outlives is yielded."""
    with undivided(uri), undivided(uri):
        for time in range(times):
            signal.raise_signal(signal.SIGTERM)
            yield time


@pytest.mark.parametrize("times", [1, 2])
def test_the_first_signal_waits_for_the_end_and_the_second_does_not(times: int) -> None:
    found: list[int] = []
    with pytest.raises(Stopped):
        found.extend(signalled(STORE, times))
    assert found == [0]
    with pytest.raises(Stopped):  # the handlers of before are back
        signal.raise_signal(signal.SIGTERM)


def test_a_server_is_not_waited_for() -> None:
    with pytest.raises(Stopped):
        next(signalled("http://127.0.0.1:5000", 1))


def test_what_goes_wrong_inside_is_told_without_a_signal() -> None:
    with pytest.raises(ZeroDivisionError), undivided(STORE):
        _ = 1 / 0
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)


def test_a_client_that_is_stopped_leaves_the_database_free(tmp_path: Path) -> None:
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
