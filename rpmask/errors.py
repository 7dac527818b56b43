"""What a user sees when something is wrong: one sentence and one hint.

The command line prints both and exits with the error's code: 2 for a mistake the user can correct,
1 for a run that failed. Every other exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations


def install_hint(extra: str) -> str:
    """How what an extra brings is added to the rpmask that is installed, whether from a wheel or a clone."""
    return f"pip install 'rpmask[{extra}]'"


class RpmaskError(Exception):
    """A mistake the user can correct."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[RpmaskError], tuple[str, str]]:
        # Crosses process boundaries whole: the default would drop the hint.
        return type(self), (self.message, self.hint)


class RunFailed(RpmaskError):
    """The input was fine but the work did not succeed: NaN losses, a lost server, a full disk."""

    exit_code = 1
