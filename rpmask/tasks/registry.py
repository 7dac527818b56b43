"""Find a task's data: the demo, the user's own files, a local folder, the cache, then the hub.

What is on the machine is looked at first, so that work goes on offline and a task that is nowhere
fails at once. Importing this module is cheap; the libraries that hold the rows come with the data.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks import hub, images
from rpmask.tasks.demo_spec import DEMO
from rpmask.tasks.glue import GLUE, GlueTask, find_folder, plain_name, read_folder
from rpmask.tasks.local import OwnFiles, read_own, read_own_as
from rpmask.tasks.rows import Columns, Rows, rows_of
from rpmask.tasks.spec import TaskData, TaskSpec
from rpmask.tasks.split import carve
from rpmask.tasks.tables import Table

Splits = tuple[Rows, dict[str, Rows], str]


def task_names() -> tuple[str, ...]:
    """The text tasks that need no files of the user's."""
    return (DEMO.name, *GLUE)


def known_specs() -> tuple[str, ...]:
    """The tasks whose labels are known before any data is read."""
    return (DEMO.name, *GLUE, images.DIGITS.name)


def known_name(task: str) -> str:
    """A task as runs have it: a known one without case, dashes and underscores, the user's as it is."""
    plain = plain_name(task)
    return plain if plain in known_specs() else task


def get_spec(name: str) -> TaskSpec:
    """The spec of a known task; case, dashes and underscores do not matter."""
    plain = plain_name(name)
    if plain == DEMO.name:
        return DEMO
    if plain in GLUE:
        return GLUE[plain].spec
    if plain == images.DIGITS.name:
        return images.DIGITS
    names = (*task_names(), *images.image_task_names())
    near = difflib.get_close_matches(plain, names, n=3, cutoff=0.5)
    raise RpmaskError(
        f"There is no task '{name}'{f'; did you mean {_either(near)}?' if near else '.'}",
        f"The tasks are {', '.join(names)}; for data of your own give --train and --dev.",
    )


def check_within_reach(name: str, data_dir: Path | None) -> None:
    """Refuse a name that is no task, and a task that is neither here nor on a hub that answers."""
    if is_image_task(name, data_dir):
        if data_dir is None:
            images.check_within_reach(plain_name(name))
        return
    spec = get_spec(name)
    if spec is not DEMO and _glue_folder(GLUE[spec.name], data_dir) is None:
        task = GLUE[spec.name]
        if hub.cached_files(hub.REPOSITORY, spec.name, _hub_splits(task).values()) is None:
            hub.check_reachable(spec.name, hub.glue_ways_out(spec.name))


def _either(names: list[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def load_task(
    name: str,
    *,
    data_dir: Path | None = None,
    own: OwnFiles | None = None,
    seed: int = 0,
    selection_rows: int | None = None,
    train_rows: int | None = None,
) -> TaskData:
    """Load a task and carve its selection split from train.

    With `own`, the name of a GLUE task reads the user's files as that task; any other name is the
    user's, and the task is found in the files.
    """
    if own is not None and data_dir is not None:
        raise RpmaskError(
            f"Both files of your own ({own.train}) and a data folder ({data_dir}) are given.",
            "Give one of them.",
        )
    if plain_name(name) == DEMO.name and (own is not None or data_dir is not None):
        raise RpmaskError(
            "Task 'demo' is built in and is not read from files.",
            "Name another task, or leave out the files.",
        )
    if own is None and is_image_task(name, data_dir):
        return images.load_images(
            plain_name(name) if data_dir is None else name,
            data_dir=data_dir,
            seed=seed,
            selection_rows=selection_rows,
            train_rows=train_rows,
        )
    if own is not None:
        spec, (train, dev, source) = _own(name, own)
    else:
        spec = get_spec(name)
        train, dev, source = _demo() if spec is DEMO else _glue(GLUE[spec.name], data_dir)
    kept, selection = carve(
        train, spec, seed=seed, selection_rows=selection_rows, train_rows=train_rows
    )
    splits = {"train": kept, "selection": selection, **dev}
    return TaskData(
        spec=spec,
        train=kept.to_dataset(spec),
        selection=selection.to_dataset(spec),
        dev={split: rows.to_dataset(spec) for split, rows in dev.items()},
        source=source,
        digests={split: rows.digest() for split, rows in splits.items()},
    )


def is_image_task(name: str, data_dir: Path | None) -> bool:
    """An image task by its name, or any other name with a folder of images."""
    if data_dir is None:
        return plain_name(name) in images.image_task_names()
    return plain_name(name) not in GLUE and images.is_image_folder(data_dir)


def _demo() -> Splits:
    from rpmask.tasks import builtin

    columns = Columns("text", "label", "text_pair")
    rows: dict[str, Rows] = {}
    for split, examples in builtin.load_rows().items():
        names = ("text", "text_pair", "label")
        values = {name: [example[name] for example in examples] for name in names}
        table = Table(f"demo {split}", values, range(1, len(examples) + 1), "row")
        rows[split] = rows_of(table, columns, DEMO, indices=True)
    return rows.pop("train"), rows, "builtin:demo"


def _own(name: str, own: OwnFiles) -> tuple[TaskSpec, Splits]:
    source = f"files:{own.train},{own.dev}"
    plain = plain_name(name)
    if plain in GLUE:
        train, dev = read_own_as(own, GLUE[plain].rows)
        return replace(GLUE[plain].spec, dev_splits=("dev",)), (train, dev, source)
    if own.name == OwnFiles.name:
        own = replace(own, name=name)
    spec, train, dev = read_own(own)
    return spec, (train, dev, source)


def _glue_folder(task: GlueTask, data_dir: Path | None) -> Path | None:
    """The local folder that has the task; a folder named outright must have it."""
    if data_dir is not None:
        folder = find_folder(data_dir, task)
        if folder is None:
            raise RpmaskError(
                f"{data_dir} has no folder {task.folder} for task '{task.spec.name}'.",
                f"Expected {data_dir / task.folder / 'train.tsv'} in the classic GLUE layout.",
            )
        return folder
    configured = os.environ.get("RPMASK_GLUE_DIR")
    return find_folder(Path(configured).expanduser(), task) if configured else None


def _glue(task: GlueTask, data_dir: Path | None) -> Splits:
    """The task from the first place that has it."""
    folder = _glue_folder(task, data_dir)
    if folder is not None:
        return *read_folder(folder, task), f"folder:{folder}"
    return _from_hub(task)


def _hub_splits(task: GlueTask) -> dict[str, str]:
    """Our name of every split and the hub's, which calls dev "validation", MNLI's two with an ending."""
    dev = {split: split.replace("dev", "validation", 1) for split in task.spec.dev_splits}
    return {"train": "train", **dev}


def _from_hub(task: GlueTask) -> Splits:
    names = _hub_splits(task)
    wanted = tuple(names.values())
    config = task.spec.name
    tables, source = hub.read_cached(config, wanted) or hub.download(config, wanted)
    rows = {split: task.rows(tables[theirs], task.hub) for split, theirs in names.items()}
    return rows.pop("train"), rows, source
