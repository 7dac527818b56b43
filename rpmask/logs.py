"""What is logged on stderr beside a verb's own lines: with --verbose libraries' logs, and errors' tracebacks.

Without it libraries say warnings at most, and an error is its sentence and its hint.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator

LOG = logging.getLogger("rpmask")


def be_verbose() -> None:
    """Log on stderr whatever a library says from here on."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    LOG.setLevel(logging.DEBUG)


def is_verbose() -> bool:
    """Whether `be_verbose` was called in this process."""
    return LOG.isEnabledFor(logging.DEBUG)


def lower(name: str, level: int) -> None:
    """Hear from a library what has this level or a higher one, unless everything is to be heard."""
    if not is_verbose():
        logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drop what a library prints, or show it on stderr where everything is to be heard."""
    if is_verbose():
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
