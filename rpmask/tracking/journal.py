"""Optuna's journal, under a lock that ends with its holder and with its last line whole.

Optuna's own locks are files: one that a killed process left behind is waited for, and behind a
relative path for ever. The kernel frees this one.
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
    """Held while a line is appended; a line that a full disk or a kill cut short is taken away."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; the journal then ends with a whole line."""
        self._held = self._journal.with_name(f"{self._journal.name}.flock").open("ab")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        _mend(self._journal)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held.close()
            self._held = None


def open_journal(path: Path) -> JournalStorage:
    """The studies in a journal file; made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=KernelLock(path)))


def _mend(path: Path) -> None:
    """Take away what follows the last line's end: nobody was told that it was written."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - LONGEST_LINE)
        file.seek(start)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(start + tail.rfind(b"\n") + 1)
