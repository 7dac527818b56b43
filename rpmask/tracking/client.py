"""MLflow's client, with calls to a database that a signal does not cut in two.

An exception out of the middle of a transaction keeps the session, and with it the lock on the database, for
as long as it travels: the run of the step that was stopped could not be closed any more. So a signal waits
for the end of the call, where a call writes a model for the model's; a second one, sent later, does not.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

from mlflow import MlflowClient

STOPS = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 1.0  # a launcher may pass on what the terminal has sent already


class _Later:
    """A handler that keeps a signal for later; one that is sent again after a while is not kept waiting.

    Signals that are ignored, or that other code than Python's handles, are left as they are.
    """

    def __init__(self) -> None:
        self.kept: int | None = None
        self._since = 0.0
        with _none_now():
            known = {number: signal.getsignal(number) for number in STOPS}
            self._before = {
                number: handler
                for number, handler in known.items()
                if handler not in (None, signal.SIG_IGN)
            }
            for number in self._before:
                signal.signal(number, self)

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.kept is None:
            self.kept, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > AGAIN_SECONDS:
            self.give_back()
            signal.raise_signal(number)

    def give_back(self) -> None:
        """Put the handlers of before in place again."""
        with _none_now():
            for number, handler in self._before.items():
                signal.signal(number, handler)


@contextmanager
def _none_now() -> Iterator[None]:
    """While handlers are exchanged no signal is handled."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def undivided(uri: str) -> Iterator[None]:
    """Until the end of this, SIGINT and SIGTERM wait; not where a server keeps the transactions."""
    waits = any(isinstance(signal.getsignal(number), _Later) for number in STOPS)
    alone = threading.current_thread() is threading.main_thread()
    if uri.startswith("http") or not alone or waits:
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
