"""One process at a time on a name, among a user's processes on this machine.

A lock is the kernel's `flock` on a file in a folder that is the user's alone: `.cache/rpmask/locks` in the
home that the user database names or, where nothing can be written there or its file system has no locks,
`/tmp/rpmask-locks-UID`. No variable of the environment decides which, so processes with other temporary
folders or another HOME find the same file.

The kernel frees a lock when the process ends, however it ends. Processes of other users are not held up.
Where the home is on a network (NFS since Linux 2.6.12, SMB) the server keeps the locks: they hold among all
machines that mount it, and are freed once the server has noticed that a machine is gone.
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

# What a home says that nothing can be written to, or whose file system has no locks.
UNUSABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
    *(errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),
}


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Wait for the lock of this name and hold it; the kernel frees it if the process dies."""
    path, handle = _acquired(hashlib.sha256(name.encode()).hexdigest()[:32])
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the next holder can have it
        fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child may hold a copy of the handle
        os.close(handle)


def places() -> list[Path]:
    """Folders for locks; the first that can be used is."""
    fixed = Path(f"/tmp/rpmask-locks-{os.getuid()}")
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container may run as a number that nobody has
        return [fixed]
    return [home / ".cache" / "rpmask" / "locks", fixed]


def _acquired(name: str) -> tuple[Path, int]:
    """The file of a lock and the handle that holds it."""
    *others, last = places()
    for folder in others:
        try:
            return folder / name, _locked(folder, name)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
    return last / name, _locked(last, name)


def _locked(folder: Path, name: str) -> int:
    inside = _own_folder(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        while True:
            handle = os.open(name, flags, 0o600, dir_fd=inside)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _is_still(handle, name, inside):
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


def _is_still(handle: int, name: str, folder: int) -> bool:
    """Whether the locked file is the one of that name: whoever held it before has removed it."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(handle))


def _own_folder(path: Path) -> int:
    """A handle of the folder, made if it is not there; refused if others could write names into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # whatever is there is looked at below
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
