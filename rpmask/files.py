"""Whole files or none: written under a temporary name beside the target, flushed, renamed."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rpmask.errors import RunFailed


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """An open file that becomes `path` when the block ends, and vanishes if it raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made by open(), which gives it the permissions that the umask says; those of tempfile are private.
    temporary = path.parent / f".{path.name[:40]}.{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFailed(
                f"The disk is full: '{path.name}' could not be written to {path.parent}.",
                "Free some space and give the same command again; it continues where it stopped.",
            ) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write bytes so that a reader sees the old file or the new one, never a part."""
    with replacing(path) as file:
        file.write(content)
