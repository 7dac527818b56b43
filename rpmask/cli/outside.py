"""Errors of the world around a command: a store that fails, a full disk, no memory, no permission.

They reach the command line from inside libraries, so they are known by their kind and not by where they
were raised. Everything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from rpmask.errors import RpmaskError, RunFailed

AGAIN = "then give the same command again; it continues where it stopped."
# SQLite says it in words, and MLflow passes them on.
FULL = ("database or disk is full", "No space left on device")
# MLflow's words for a request without an answer, and a database driver's for a connection without one.
UNREACHED = ("API request to", "Connection refused", "could not translate host name")
NO_ANSWER = ("ENDPOINT_NOT_FOUND", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED")
READ_ONLY = ("attempt to write a readonly database", "Read-only file system")
REQUEST = ("requests.exceptions", "RequestException")
NO_MEMORY = ("can't allocate memory", "CUDA out of memory")


def foreseen(error: BaseException) -> RpmaskError | None:
    """The error as a user should see it; None for one that nobody foresaw."""
    causes = list(_causes(error))
    said = "\n".join(str(cause) for cause in causes)
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if numbers & {errno.ENOSPC, errno.EDQUOT} or any(word in said for word in FULL):
        return RunFailed(f"The disk is full{_where(causes)}.", f"Free some space, {AGAIN}")
    if numbers & {errno.EROFS, errno.EACCES, errno.EPERM} or any(w in said for w in READ_ONLY):
        return RpmaskError(
            f"Something cannot be written or read here{_where(causes)}.",
            "Start in a folder of your own; the store and .rpmask are made in it.",
        )
    if isinstance(error, MemoryError) or any(word in said for word in NO_MEMORY):
        return RunFailed(
            "There was not enough memory.",
            f"Use fewer --workers, a smaller --batch-size or another machine, {AGAIN}",
        )
    if _of(error, "mlflow.exceptions", "MlflowException") or _of(error, *REQUEST):
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if (
            getattr(error, "error_code", None) in NO_ANSWER
            or any(_of(cause, *REQUEST) for cause in causes)
            or any(word in said for word in UNREACHED)
        ):
            return RunFailed(
                f"The tracking store cannot be reached: {first}",
                f"Wait for it or start it, {AGAIN}",
            )
        return RunFailed(f"The tracking store failed: {first}", f"Mend it, {AGAIN}")
    return None


def _of(error: BaseException, module: str, kind: str) -> bool:
    """Whether an error is of a library's kind; one that was never loaded has raised nothing."""
    known = sys.modules.get(module)
    return known is not None and isinstance(error, getattr(known, kind))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _where(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, OSError) and cause.filename:
            return f": '{cause.filename}'"
    return ""
