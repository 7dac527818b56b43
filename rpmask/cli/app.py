"""The Typer app that every verb is added to."""

from __future__ import annotations

from typing import Annotated

import typer

from rpmask import __version__

app = typer.Typer(
    name="rpmask",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Draw many pruning masks, race them, keep the best with evidence, and train it, with everything "
    "recorded in MLflow.\n\nStart with `rpmask run --task demo`, then `rpmask ui`.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rpmask {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
