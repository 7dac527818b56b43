"""The options that several verbs share, each written once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice

TRACKING, DATA, SAMPLING, RACING, ENGINE, TRAINING = (
    "Tracking",
    "Data",
    "Sampling",
    "Screening",
    "Engine",
    "Training",
)

Experiment = Annotated[
    str, typer.Option(help="MLflow experiment.", rich_help_panel=TRACKING, show_default=True)
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="MLflow tracking server or database [default: MLFLOW_TRACKING_URI, else "
        "sqlite:///mlflow.db in this folder].",
        rich_help_panel=TRACKING,
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Run again even if this very step has finished before.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Quiet = Annotated[
    bool | None,
    typer.Option(
        "--quiet/--verbose",
        "-q/-v",
        help="Hide progress; or show what libraries log, and the traceback of an error.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random in this step.")]
Task = Annotated[
    str, typer.Option("--task", "-t", help="demo, a GLUE task, or a name for your own data.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A folder, a hub id, models:/NAME@ALIAS, or demo [default: a built-in task's own; "
        "for other texts bert-base-uncased].",
        show_default=False,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN_ID",
        help="The run to continue from [default: the latest finished one of the step before].",
        show_default=False,
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Optuna storage, an RDB URL [default: .rpmask/optuna.journal].",
        rich_help_panel=SAMPLING,
        show_default=False,
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        help="Folder in the classic GLUE layout (RTE/train.tsv, ...) [default: RPMASK_GLUE_DIR].",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
TrainFile = Annotated[
    str | None,
    typer.Option(
        "--train", help="Your own training rows: CSV, TSV, JSON(L), Parquet.", rich_help_panel=DATA
    ),
]
DevFile = Annotated[
    str | None, typer.Option("--dev", help="Your own dev rows.", rich_help_panel=DATA)
]
Text = Annotated[str, typer.Option(help="Column of the text.", rich_help_panel=DATA)]
TextPair = Annotated[
    str | None, typer.Option(help="Column of the second text.", rich_help_panel=DATA)
]
Label = Annotated[str, typer.Option(help="Column of the label.", rich_help_panel=DATA)]
Kind = Annotated[
    str | None,
    typer.Option(help="classification or regression [default: found].", rich_help_panel=DATA),
]
SelectionRows = Annotated[
    int | None,
    typer.Option(
        help="Rows carved from train to select with [default: a fifth, at most 1000].",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
TrainRows = Annotated[
    int | None,
    typer.Option(help="Use this many training rows [default: all].", rich_help_panel=DATA),
]
MaxLength = Annotated[int, typer.Option(help="Longest input in tokens.", rich_help_panel=DATA)]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Candidates that train at a time [default: 1; on a GPU as many as its memory holds, with "
        "Ray as many as the cluster holds].",
        rich_help_panel=ENGINE,
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads to train with [default: the cores].", show_default=False),
]
RaceThreads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="Threads a candidate trains with; they decide the last digits of the losses [default: the "
        "cores shared out, with Ray --cpus-per-candidate].",
        rich_help_panel=ENGINE,
        show_default=False,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="Where candidates train: local, in processes of this machine, or ray.",
        rich_help_panel=ENGINE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster, HOST:PORT or auto [default: RAY_ADDRESS, else one is started here].",
        rich_help_panel=ENGINE,
        show_default=False,
    ),
]
CpusPerCandidate = Annotated[
    float | None,
    typer.Option(
        help="CPUs of a Ray node a candidate takes [default: --threads, else 1].",
        rich_help_panel=ENGINE,
        show_default=False,
    ),
]
GpusPerCandidate = Annotated[
    float,
    typer.Option(
        help="GPUs of a Ray node a candidate takes; with 0.25 four share one.",
        rich_help_panel=ENGINE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, bf16, fp16, or auto: the faster of fp32 and bf16 here.",
        rich_help_panel=TRAINING,
    ),
]


def data_choice(values: dict[str, Any]) -> DataChoice:
    """The data options of a verb as one record."""
    train, dev = values.get("train"), values.get("dev")
    if (train is None) != (dev is None):
        given, missing = ("--train", "--dev") if train else ("--dev", "--train")
        raise RpmaskError(
            f"{given} needs {missing}.", "Dev is only read by the final report, never to select."
        )
    names = DataChoice.__dataclass_fields__
    return DataChoice(**{name: values[name] for name in names if name in values})


def numbers(text: str, what: str) -> tuple[float, ...]:
    """A number, a range `LOW..HIGH`, or a list `A,B,C`."""
    parts = text.split("..") if ".." in text else text.split(",")
    try:
        found = tuple(float(part) for part in parts)
        if ".." in text:
            low, high = found
            found = (min(low, high), max(low, high))
    except ValueError as error:
        raise RpmaskError(
            f"{what} '{text}' is not a number, a range or a list.",
            "Write 0.2, or 0.05..0.5, or 0.1,0.2.",
        ) from error
    return found
