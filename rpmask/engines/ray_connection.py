"""Join a Ray cluster, or start one on this machine, and leave it again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import ray

import rpmask
from rpmask.errors import RpmaskError

CONNECT_SECONDS = 3.0


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Join the cluster at the address or at RAY_ADDRESS, or start one on this machine.

    A process that is already in a cluster stays in it.
    """
    if ray.is_initialized():
        yield
        return
    connect(address or os.environ.get("RAY_ADDRESS") or "local")
    # Ray reports lost nodes on stdout until the very end, but stdout is for a command's result.
    with redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            ray.shutdown()


def connect(address: str) -> None:
    """Join a cluster; `local` starts one of this machine alone."""
    _check_reachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            log_to_driver=False,  # the workers' output would appear on our stdout
            logging_level="ERROR",
            # Processes of this machine import the code from where this process has it.
            **(
                {"include_dashboard": False}
                if address == "local"
                else {"runtime_env": {"py_modules": [rpmask]}}
            ),
        )
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        raise RpmaskError(
            f"The Ray cluster '{address}' cannot be joined: {str(error).strip().splitlines()[0]}",
            "Python and Ray must be the cluster's versions, and RAY_AUTH_MODE what it was started with "
            "(token or disabled). Without --address a cluster of this machine alone is used.",
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray installs its own


def _check_reachable(address: str) -> None:
    """Fail at once if nothing listens at the address; Ray itself tries for half a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise RpmaskError(
            f"Nothing answers at the Ray address '{address}': {error.strerror or error}.",
            "Start the cluster with `ray start --head --port 6379` and give its HOST:6379.",
        ) from error
