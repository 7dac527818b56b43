"""Locks by name: one process at a time, among the processes of one user on this machine.

A lock is the kernel's `flock` on a file in a folder that only the user can write to: `.cache/rpmask/locks`
in the home that the user database names or, if that cannot be written or its file system has no locks,
`/tmp/rpmask-locks-UID`. No environment variable has an influence, so processes with another HOME or TMPDIR
use the same file. The kernel frees a lock when the process ends, however it ends.

If the home is on a network (NFS since Linux 2.6.12, SMB), the server holds the locks: they apply to all
machines that mount it, and are freed once the server notices that a machine is gone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rpmask.errors import RpmaskError

# Errors of a home that cannot be written, or whose file system has no locks.
UNUSABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
    *(errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),
}


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Wait for the lock with this name and hold it inside the block."""
    path, handle = _acquire(hashlib.sha256(name.encode()).hexdigest()[:32])
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still locked
        fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child may hold a copy of the handle
        os.close(handle)


def places() -> list[Path]:
    """Folders for locks; the first that works is used."""
    fixed = Path(f"/tmp/rpmask-locks-{os.getuid()}")
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container may run as a user id without an entry
        return [fixed]
    return [home / ".cache" / "rpmask" / "locks", fixed]


def _acquire(name: str) -> tuple[Path, int]:
    """The file of a lock, and the handle that holds the lock."""
    *others, last = places()
    for folder in others:
        try:
            return folder / name, _lock(folder, name)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
    return last / name, _lock(last, name)


def _lock(folder: Path, name: str) -> int:
    inside = _own_folder(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        while True:
            handle = os.open(name, flags, 0o600, dir_fd=inside)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _has_name(handle, name, inside):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RpmaskError(
            f"The lock '{folder / name}' is a link.", "Remove it; rpmask makes files there."
        ) from error
    finally:
        os.close(inside)


def _has_name(handle: int, name: str, folder: int) -> bool:
    """Whether the locked file still has its name: the former holder removes the file."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(handle))


def _own_folder(path: Path) -> int:
    """A handle of the folder, created if needed; refused if another user could create files in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # what exists is checked below
        path.mkdir(mode=0o700)
    hint = f"Remove {path}; rpmask makes a folder of that name for its locks."
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        what = "a link" if path.is_symlink() else "not a folder"
        raise RpmaskError(f"The folder for locks '{path}' is {what}.", hint) from error
    try:
        found = os.fstat(handle)
        if found.st_uid != os.getuid():
            raise RpmaskError(f"The folder for locks '{path}' belongs to another user.", hint)
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(handle, 0o700)
    except BaseException:
        os.close(handle)
        raise
    return handle
