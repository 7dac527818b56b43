"""MLflow's client, with calls to a database that a signal does not cut in two.

An exception out of the middle of a transaction keeps the session, and with it the lock on the database, for
as long as it travels: the run of the step that was stopped could not be closed any more.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

from mlflow import MlflowClient

STOPS = (signal.SIGINT, signal.SIGTERM)


class _Later:
    """A handler that keeps the first signal for later; a second one is not kept waiting."""

    def __init__(self) -> None:
        self.kept: int | None = None
        self._before = {number: signal.getsignal(number) for number in STOPS}
        for number in STOPS:
            signal.signal(number, self)

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.kept is not None:
            self.give_back()
            signal.raise_signal(number)
        self.kept = number

    def give_back(self) -> None:
        """Put the handlers of before in place again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def undivided(uri: str) -> Iterator[None]:
    """Until the end of this, SIGINT and SIGTERM wait; not where a server keeps the transactions."""
    handler = signal.getsignal(signal.SIGTERM)
    alone = threading.current_thread() is threading.main_thread()
    if uri.startswith("http") or not alone or isinstance(handler, _Later):
        yield
        return
    later = _Later()
    try:
        yield
    finally:
        later.give_back()
        if later.kept is not None:
            signal.raise_signal(later.kept)


class Client(MlflowClient):
    """The client of the whole package; each of its calls is undivided."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        @wraps(found)
        def whole(*arguments: Any, **named: Any) -> Any:
            with undivided(self.tracking_uri):
                return found(*arguments, **named)

        return whole
