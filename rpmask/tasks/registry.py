"""Find a task by name: the demo, a user's own files, a local folder, the cache, then the hub.

Local sources come first, so that work continues offline and a task that is nowhere fails at once.
Importing this module is cheap; the libraries that hold rows are imported when rows are read.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.builtin import DEMO, read_demo
from rpmask.tasks.glue import GLUE, GlueTask, find_folder, plain_name
from rpmask.tasks.images import CIFAR, DIGITS, IMAGE_TASKS, is_image_folder, read_images
from rpmask.tasks.own_files import read_own
from rpmask.tasks.passages import ON_HUB as WIKITEXT2_ON_HUB
from rpmask.tasks.passages import WIKITEXT2, calibrated_on, read_wikitext2
from rpmask.tasks.spec import TaskData, TaskRows, TaskSpec
from rpmask.tasks.squad import SQUADS
from rpmask.tasks.words import CONLL2003, read_conll2003

TEXT_TASKS = (DEMO.name, *GLUE)  # these need no files from the user
# Tasks whose labels are known before any data is read.
KNOWN_SPECS = {
    DEMO.name: DEMO,
    **{name: task.spec for name, task in GLUE.items()},
    DIGITS.name: DIGITS,
    CONLL2003.name: CONLL2003,
    **{task.spec.name: task.spec for task in SQUADS.values()},
    WIKITEXT2.name: WIKITEXT2,
}
_NAMES = {plain_name(name): name for name in KNOWN_SPECS}


def known_name(task: str) -> str:
    """A task's name as runs record it: a known task's own, whatever the case, dashes and underscores."""
    return _NAMES.get(plain_name(task), task)


def get_spec(name: str) -> TaskSpec:
    """The spec of a known task; case, dashes and underscores do not matter."""
    known = KNOWN_SPECS.get(known_name(name))
    if known is not None:
        return known
    names = (
        *TEXT_TASKS,
        *(CONLL2003.name, WIKITEXT2.name),
        *(task.spec.name for task in SQUADS.values()),
        *IMAGE_TASKS,
    )
    near = difflib.get_close_matches(plain_name(name), names, n=3, cutoff=0.5)
    suggestion = " or ".join(f"'{name}'" for name in near)
    raise RpmaskError(
        f"There is no task '{name}'{f'; did you mean {suggestion}?' if near else '.'}",
        f"The tasks are {', '.join(names)}; for data of your own give --train and --dev.",
    )


def check_within_reach(name: str, data_dir: Path | None) -> None:
    """Raise if no task has this name, or its data is neither on this machine nor on a hub that answers."""
    if is_image_task(name, data_dir):
        if data_dir is None and plain_name(name) in CIFAR:
            CIFAR[plain_name(name)].on_hub.check_within_reach()
        return
    spec = get_spec(name)
    if spec is CONLL2003:
        _conll_folder(data_dir)
    elif squad := SQUADS.get(plain_name(name)):
        if data_dir is None:
            squad.on_hub.check_within_reach()
    elif spec is WIKITEXT2:
        if data_dir is None:
            WIKITEXT2_ON_HUB.check_within_reach()
    elif spec is not DEMO and _glue_folder(GLUE[spec.name], data_dir) is None:
        GLUE[spec.name].on_hub.check_within_reach()


def load_task(name: str, choice: DataChoice = DataChoice()) -> TaskData:
    """Load a task from the chosen place and carve its selection split from train.

    With files of the user's own, the name of a GLUE task reads them as that task. Any other name is
    the user's, and the files describe the task.
    """
    from rpmask.tasks.split import split_task

    rows = _read(name, choice)
    if choice.calibration is not None:
        rows = calibrated_on(rows, choice.calibration, choice.text)
    return split_task(
        rows,
        seed=choice.split_seed,
        selection_rows=choice.selection_rows,
        train_rows=choice.train_rows,
    )


def is_image_task(name: str, data_dir: Path | None) -> bool:
    """Whether the name is an image task's, or any other name with a folder of images."""
    plain = plain_name(name)
    own_images = data_dir is not None and plain not in GLUE and is_image_folder(data_dir)
    return plain in IMAGE_TASKS or own_images


def _read(name: str, choice: DataChoice) -> TaskRows:
    data_dir = Path(choice.data_dir) if choice.data_dir else None
    if choice.train is not None and data_dir is not None:
        raise RpmaskError(
            f"Both files of your own ({choice.train}) and a data folder ({data_dir}) are given.",
            "Give one of them.",
        )
    plain = plain_name(name)
    if plain == DEMO.name:
        if choice.train is None and data_dir is None:
            return read_demo()
        raise RpmaskError(
            "Task 'demo' is built in and is not read from files.",
            "Name another task, or leave out the files.",
        )
    if choice.train is not None:
        return read_own(name, choice, GLUE.get(plain))
    if is_image_task(name, data_dir):
        return read_images(plain if data_dir is None else name, data_dir)
    spec = get_spec(name)
    if spec is CONLL2003:
        return read_conll2003(_conll_folder(data_dir))
    if squad := SQUADS.get(plain):
        return squad.read_folder(data_dir) if data_dir else squad.read_hub()
    if spec is WIKITEXT2:
        return read_wikitext2(data_dir)
    task = GLUE[spec.name]
    folder = _glue_folder(task, data_dir)
    return task.read_hub() if folder is None else task.read_folder(folder)


def _conll_folder(data_dir: Path | None) -> Path:
    if data_dir is not None:
        return data_dir
    raise RpmaskError(
        f"Task '{CONLL2003.name}' is read from a folder, and none is given.",
        "Name the folder of its train.txt and dev.txt with --data-dir, or files with --train and --dev.",
    )


def _glue_folder(task: GlueTask, data_dir: Path | None) -> Path | None:
    """The local folder that has the task; None if no folder is configured or it lacks the task."""
    if data_dir is None:
        configured = os.environ.get("RPMASK_GLUE_DIR")
        return find_folder(Path(configured).expanduser(), task) if configured else None
    folder = find_folder(data_dir, task)
    if folder is None:
        raise RpmaskError(
            f"{data_dir} has no folder {task.folder} for task '{task.name}'.",
            f"Expected {data_dir / task.folder / 'train.tsv'} in the classic GLUE layout.",
        )
    return folder
