"""The command line: each verb parses its options, calls one step and prints the result.

Nothing here imports torch, transformers or mlflow before a verb runs, so `--help` is instant.
"""

from rpmask.cli.entry import main

__all__ = ["main"]
