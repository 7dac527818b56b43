"""Errors of the environment: a store that fails, a full disk, no memory, no permission.

Libraries raise them, so they are recognised by their type and text. Every other error is a defect in rpmask
and keeps its traceback.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from rpmask.errors import RpmaskError, RunFailed

AGAIN = "then run the same command again; it continues where it stopped."
# SQLite's words, which MLflow passes on.
FULL = ("database or disk is full", "No space left on device")
# MLflow's words for an unanswered request, and those of a database driver for an unanswered connection.
UNREACHED = ("API request to", "Connection refused", "could not translate host name")
NO_ANSWER = ("ENDPOINT_NOT_FOUND", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED")
READ_ONLY = ("attempt to write a readonly database", "Read-only file system")
REQUEST = ("requests.exceptions", "RequestException")
NO_MEMORY = ("can't allocate memory", "CUDA out of memory")


def as_user_error(error: BaseException) -> RpmaskError | None:
    """The error as the user should see it; None for a defect in rpmask."""
    causes = list(_causes(error))
    text = "\n".join(str(cause) for cause in causes)
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if numbers & {errno.ENOSPC, errno.EDQUOT} or any(word in text for word in FULL):
        return RunFailed(f"The disk is full{_where(causes)}.", f"Free some space, {AGAIN}")
    if numbers & {errno.EROFS, errno.EACCES, errno.EPERM} or any(w in text for w in READ_ONLY):
        return RpmaskError(
            f"A file cannot be read or written here{_where(causes)}.",
            "Run the command in a folder of your own; it creates the store and .rpmask there.",
        )
    if isinstance(error, MemoryError) or any(word in text for word in NO_MEMORY):
        return RunFailed(
            "There was not enough memory.",
            f"Use fewer --workers, a smaller --batch-size or another machine, {AGAIN}",
        )
    if _is(error, "mlflow.exceptions", "MlflowException") or _is(error, *REQUEST):
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if (
            getattr(error, "error_code", None) in NO_ANSWER
            or any(_is(cause, *REQUEST) for cause in causes)
            or any(word in text for word in UNREACHED)
        ):
            return RunFailed(
                f"The tracking store cannot be reached: {first}",
                f"Wait for it or start it, {AGAIN}",
            )
        return RunFailed(f"The tracking store failed: {first}", f"Repair it, {AGAIN}")
    return None


def _is(error: BaseException, module: str, kind: str) -> bool:
    """Whether an error has a library's type, without loading the library."""
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
