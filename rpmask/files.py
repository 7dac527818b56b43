"""Whole files or none: written under a temporary name beside the target, flushed, renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rpmask.errors import RunFailed

STATUS = Path("/proc/self/status")  # of Linux


def _umask() -> int:
    """The process's umask, which other threads write files under and which is therefore not touched."""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # another system
        return _UMASK
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), _UMASK)


def _umask_at_import() -> int:
    """Asked for by setting it, as POSIX has no other way, before there is a thread to notice."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


_UMASK = _umask_at_import()


def _usual_mode() -> int:
    """The permissions that open() gives a new file; temporary files are made private."""
    return 0o666 & ~_umask()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """An open file that becomes `path` when the block ends, and vanishes if it raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        os.fchmod(handle, _usual_mode())
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFailed(
                f"The disk is full: '{path.name}' could not be written to {path.parent}.",
                "Free some space and give the same command again; it continues where it stopped.",
            ) from error
        raise
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write bytes so that a reader sees the old file or the new one, never a part."""
    with replacing(path) as file:
        file.write(content)
