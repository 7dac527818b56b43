"""Image tasks: scikit-learn's digits, CIFAR, and any folder with one subfolder a class.

What is on the machine is looked at first: digits come with scikit-learn, CIFAR is read from the cache
of the `datasets` library before the hub is asked, and an image folder is the user's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.tasks import hub
from rpmask.tasks.rows import Rows
from rpmask.tasks.spec import TaskData, TaskSpec
from rpmask.tasks.split import carve

if TYPE_CHECKING:
    import datasets
    import numpy as np

Splits = tuple["datasets.Dataset", "datasets.Dataset"]  # train and dev

DIGITS_DEV_ROWS = 450
HUB_SPLITS = ("train", "test")
WAYS_OUT = (
    "Connect to the network; or name an image folder (train/CLASS/..., dev/CLASS/...) with "
    "--data-dir; or try --task digits."
)
TRAIN_FOLDERS, DEV_FOLDERS = ("train",), ("dev", "validation", "val", "test")


@dataclass(frozen=True)
class HubImages:
    """An image task of the hub: where it is, and which column holds what."""

    repository: str
    config: str
    image: str
    label: str
    title: str


ON_HUB = {
    "cifar10": HubImages("uoft-cs/cifar10", "plain_text", "img", "label", "CIFAR-10"),
    "cifar100": HubImages("uoft-cs/cifar100", "cifar100", "img", "fine_label", "CIFAR-100"),
}


def image_spec(name: str, title: str, labels: tuple[str, ...]) -> TaskSpec:
    """An image classification task."""
    return TaskSpec(
        name=name,
        title=title,
        kind="classification",
        labels=labels,
        pair=False,
        metrics=("accuracy",),
        primary="accuracy",
        inputs="image",
    )


DIGITS = image_spec(
    "digits",
    "Handwritten digits of 8 x 8 pixels (bundled with scikit-learn)",
    tuple(str(digit) for digit in range(10)),
)


def image_task_names() -> tuple[str, ...]:
    """The image tasks that need no files of the user's."""
    return (DIGITS.name, *ON_HUB)


def is_image_folder(folder: Path) -> bool:
    """Whether a folder is laid out as images: train and dev, one subfolder a class in each."""
    found = (_split_folder(folder, TRAIN_FOLDERS), _split_folder(folder, DEV_FOLDERS))
    return all(split is not None and _classes(split) for split in found)


def load_images(
    name: str,
    *,
    data_dir: Path | None = None,
    seed: int = 0,
    selection_rows: int | None = None,
    train_rows: int | None = None,
) -> TaskData:
    """Load an image task and carve its selection split from train."""
    if data_dir is not None:
        spec, splits, source = _folder(name, data_dir)
    elif name == DIGITS.name:
        spec, splits, source = DIGITS, _digits(), "scikit-learn:load_digits"
    else:
        spec, splits, source = _from_hub(name)
    rows = [_numbered(split) for split in splits]
    kept, selection = carve(
        rows[0], spec, seed=seed, selection_rows=selection_rows, train_rows=train_rows
    )
    train, dev = (split.add_column("row", list(range(len(split)))) for split in splits)
    parts = {
        "train": train.select(kept.row),
        "selection": train.select(selection.row),
        "dev": dev,
    }
    return TaskData(
        spec=spec,
        train=parts["train"],
        selection=parts["selection"],
        dev={"dev": parts["dev"]},
        source=source,
        digests={split: _digest(part) for split, part in parts.items()},
    )


def _numbered(split: datasets.Dataset) -> Rows:
    """Labels and positions alone: all that carving looks at."""
    count = len(split)
    return Rows([""] * count, None, [int(label) for label in split["label"]], list(range(count)))


def _digest(split: datasets.Dataset) -> str:
    """sha256 over the stored images, labels and rows in order."""
    digest = hashlib.sha256()
    import datasets

    stored = split.cast_column("image", datasets.Image(decode=False))
    for example in stored:
        image = example["image"]
        content = image["bytes"] or Path(image["path"]).read_bytes()
        inner = hashlib.sha256(content).hexdigest()
        digest.update(canonical_json([inner, example["label"], example["row"]]).encode() + b"\n")
    return digest.hexdigest()


def _digits() -> Splits:
    import datasets
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)  # (rows, 8, 8)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = Rows([""] * len(pixels), None, found.target.tolist(), list(range(len(pixels))))
    # The writers of the rows are not known, so dev is a stratified draw, always the same one.
    kept, dev = carve(rows, DIGITS, seed=0, selection_rows=DIGITS_DEV_ROWS, train_rows=None)

    def part(chosen: Rows) -> datasets.Dataset:
        images = [{"bytes": _png(pixels[i]), "path": None} for i in chosen.row]
        return datasets.Dataset.from_dict(
            {"image": images, "label": chosen.label}, features=features
        )

    return part(kept), part(dev)


def _png(pixels: np.ndarray) -> bytes:
    from io import BytesIO

    from PIL import Image

    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _split_folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _classes(split: Path) -> tuple[str, ...]:
    return tuple(
        sorted(
            path.name
            for path in split.iterdir()
            if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
        )
    )


def _folder(name: str, folder: Path) -> tuple[TaskSpec, Splits, str]:
    import datasets

    train, dev = _split_folder(folder, TRAIN_FOLDERS), _split_folder(folder, DEV_FOLDERS)
    if train is None or dev is None:
        raise RpmaskError(
            f"{folder} is not an image folder: it lacks {'train' if train is None else 'dev'}.",
            f"Expected {folder}/train/CLASS/IMAGE and {folder}/dev/CLASS/IMAGE "
            f"(dev may be called {', '.join(DEV_FOLDERS[1:])}).",
        )
    labels, others = _classes(train), _classes(dev)
    if len(labels) < 2 or set(others) - set(labels):
        raise RpmaskError(
            f"The classes of {train} ({', '.join(labels) or 'none'}) and of {dev} "
            f"({', '.join(others) or 'none'}) do not make a task.",
            "Each has one subfolder a class, and dev has none that train lacks.",
        )
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    splits = []
    for split in (train, dev):
        paths = [(file, i) for i, c in enumerate(labels) for file in _images(split / c)]
        if not paths:
            raise RpmaskError(f"There are no images in {split}.", f"Put them in {split}/CLASS/.")
        columns = {"image": [str(file) for file, _ in paths], "label": [i for _, i in paths]}
        splits.append(datasets.Dataset.from_dict(columns, features=features))
    spec = image_spec(name, f"Images of {folder.name}", labels)
    return spec, (splits[0], splits[1]), f"folder:{folder}"


def _images(folder: Path) -> list[Path]:
    from PIL import Image

    known = Image.registered_extensions()
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in known)


def check_within_reach(name: str) -> None:
    """Refuse a task that is neither here nor on a hub that answers."""
    task = ON_HUB.get(name)
    if task and hub.cached_files(task.repository, task.config, HUB_SPLITS) is None:
        hub.check_reachable(name, WAYS_OUT)


def _from_hub(name: str) -> tuple[TaskSpec, Splits, str]:
    task = ON_HUB[name]
    found = hub.cached_files(task.repository, task.config, HUB_SPLITS)
    if found is None:
        loaded = hub.load_from_hub(name, task.repository, task.config, HUB_SPLITS, WAYS_OUT)
        source = f"hub:{task.repository}"
    else:
        files, source = found
        loaded = {split: hub.load_arrow(paths) for split, paths in files.items()}
    labels = tuple(loaded["train"].features[task.label].names)
    spec = image_spec(name, task.title, labels)
    return spec, (_plain(loaded["train"], task), _plain(loaded["test"], task)), source


def _plain(split: datasets.Dataset, task: HubImages) -> datasets.Dataset:
    """The two columns that matter, under the names every image task has."""
    names = {task.image: "image", task.label: "label"}
    kept = split.select_columns(list(names))
    return kept.rename_columns({old: new for old, new in names.items() if old != new})
