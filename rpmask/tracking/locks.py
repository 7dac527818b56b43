"""One process at a time on a name, on this machine; the lock ends with the process, however."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Wait for the lock of this name and hold it; the kernel frees it if the process dies."""
    folder = Path(tempfile.gettempdir()) / f"rpmask-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
