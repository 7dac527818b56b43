"""MLflow's client, with SIGINT and SIGTERM deferred until the end of each call to a database.

An exception raised inside a transaction keeps the session, and so the database's lock, until it has reached
its handler: the run of the step that was stopped could not be closed. A second signal, sent after
AGAIN_SECONDS or more, is not deferred.
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

DEFERRED = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 1.0  # a launcher may pass on a signal that the terminal has sent already


class _Deferral:
    """A handler that keeps the first signal for later.

    Signals that are ignored, or handled by other code than Python's, are left alone.
    """

    def __init__(self) -> None:
        self.kept: int | None = None
        self._since = 0.0
        with _signals_blocked():
            known = {number: signal.getsignal(number) for number in DEFERRED}
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
            self.restore()
            signal.raise_signal(number)

    def restore(self) -> None:
        """Put the former handlers back."""
        with _signals_blocked():
            for number, handler in self._before.items():
                signal.signal(number, handler)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals while their handlers are exchanged."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def signals_deferred(uri: str) -> Iterator[None]:
    """Handle SIGINT and SIGTERM after the block. A server keeps its own transactions: no deferral there."""
    nested = any(isinstance(signal.getsignal(number), _Deferral) for number in DEFERRED)
    in_main = threading.current_thread() is threading.main_thread()
    if uri.startswith("http") or not in_main or nested:
        yield
        return
    deferral = _Deferral()
    try:
        yield
    finally:
        deferral.restore()
        if deferral.kept is not None:
            signal.raise_signal(deferral.kept)


class Client(MlflowClient):
    """The client that the whole package uses; signals are deferred during each of its calls."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        @wraps(found)
        def uninterrupted(*arguments: Any, **named: Any) -> Any:
            with signals_deferred(self.tracking_uri):
                return found(*arguments, **named)

        return uninterrupted
