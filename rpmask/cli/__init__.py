"""The command line: parse, call one step, print. The only folder that knows Typer and rich.

Nothing here imports torch, transformers or mlflow before a verb runs, so `--help` is instant.
"""

from rpmask.cli.entry import main

__all__ = ["main"]
