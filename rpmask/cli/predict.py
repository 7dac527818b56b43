"""`rpmask predict`: answer rows of text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rpmask.cli.bench import AnsweringModel
from rpmask.cli.options import verb
from rpmask.cli.sources import Champion
from rpmask.cli.tracking import Tracking
from rpmask.errors import RpmaskError


@verb(skip=("config", "plan", "system_metrics", "force", "json", "quiet"))
def predict(
    champion: Champion,
    tracking: Tracking,
    model: AnsweringModel = None,
    input_file: Annotated[
        str,
        typer.Option("--input", "-i", help="JSON lines, CSV, TSV or plain lines; - is stdin."),
    ] = "-",
    new_tokens: Annotated[
        int | None,
        typer.Option(
            help="Number of tokens, at most, that a language model adds to a text.",
            min=1,
            show_default="32",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print errors as JSON too; answers always are.")
    ] = False,
) -> None:
    """Predict for rows of text: one JSON line per row, in the same order.

    Where rows have a column `label`, the metrics against it are printed on stderr at the end.

    Example: `rpmask predict deploy/packed --input rows.jsonl`
    """
    from rpmask.steps.predict import predict as answers

    context = replace(tracking, quiet=True).context()
    source = champion.unless(model)
    name = "stdin" if input_file == "-" else input_file
    with opened(input_file) as lines:
        for answer in answers(
            source, lines, name, context, summarise=_on_stderr, new_tokens=new_tokens
        ):
            print(json.dumps(answer, ensure_ascii=False))


@contextmanager
def opened(name: str) -> Iterator[Iterable[str]]:
    """The lines of a file, or of stdin for `-`."""
    try:
        if name == "-":
            yield sys.stdin
        else:
            with _open(Path(name)) as lines:
                yield lines
    except UnicodeDecodeError as error:
        raise RpmaskError(
            f"{'stdin' if name == '-' else name} is not UTF-8.", "Save the file as UTF-8."
        ) from error


def _open(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise RpmaskError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)
