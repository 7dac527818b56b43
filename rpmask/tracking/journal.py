"""Optuna's journal file, with a lock that the kernel frees and a last line that is always whole.

Optuna's own locks are files: when a process is killed, the next one waits for the file it left, and with a
relative path it waits forever.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

LONGEST_LINE = 1 << 20


class KernelLock(JournalFileOpenLock):
    """Held while a line is appended. Taking it removes a line that a full disk or a kill cut short."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; afterwards the journal ends with a whole line."""
        self._held = self._journal.with_name(f"{self._journal.name}.flock").open("ab")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        _drop_partial_line(self._journal)
        return True

    def release(self) -> None:
        """Free the lock."""
        if self._held is not None:
            self._held.close()
            self._held = None


def open_journal(path: Path) -> JournalStorage:
    """The studies in a journal file, which is created if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=KernelLock(path)))


def _drop_partial_line(path: Path) -> None:
    """Remove what follows the last line break: no caller was told that it was written."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - LONGEST_LINE)
        file.seek(start)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(start + tail.rfind(b"\n") + 1)
