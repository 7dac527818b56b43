"""Image tasks: scikit-learn's digits, CIFAR, and any folder with one subfolder per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.tasks.hub import HubDataset
from rpmask.tasks.spec import TaskRows, TaskSpec

if TYPE_CHECKING:
    import datasets
    import numpy as np

DIGITS_DEV_ROWS = 450
TRAIN_FOLDERS, DEV_FOLDERS = ("train",), ("dev", "validation", "val", "test")


def image_spec(name: str, title: str, labels: tuple[str, ...]) -> TaskSpec:
    """An image classification task."""
    return TaskSpec(name, title, "classification", labels, pair=False, inputs="image")


DIGITS = image_spec(
    "digits",
    "Handwritten digits of 8 x 8 pixels (bundled with scikit-learn)",
    tuple(str(digit) for digit in range(10)),
)


@dataclass(frozen=True)
class Cifar:
    """A CIFAR task on the hub; `label` is the column with the classes."""

    name: str
    title: str
    config: str
    label: str

    @property
    def on_hub(self) -> HubDataset:
        """Where the hub has the images."""
        return HubDataset(
            task=self.name,
            repository=f"uoft-cs/{self.name}",
            config=self.config,
            splits={"train": "train", "dev": "test"},
            alternatives=(
                "Connect to the network; or name an image folder (train/CLASS/..., dev/CLASS/...) "
                "with --data-dir; or try --task digits."
            ),
        )

    def read(self) -> TaskRows:
        """Read the images from the hub or its local cache."""
        splits, source = self.on_hub.load()
        labels = tuple(splits["train"].features[self.label].names)
        names = {"img": "image", self.label: "label"}
        train, dev = (
            _numbered(splits[name].select_columns(list(names)).rename_columns(names))
            for name in ("train", "dev")
        )
        return TaskRows(image_spec(self.name, self.title, labels), train, {"dev": dev}, source)


CIFAR = {
    "cifar10": Cifar("cifar10", "CIFAR-10", "plain_text", "label"),
    "cifar100": Cifar("cifar100", "CIFAR-100", "cifar100", "fine_label"),
}
IMAGE_TASKS = (DIGITS.name, *CIFAR)  # these need no files from the user


def is_image_folder(folder: Path) -> bool:
    """Whether a folder holds images: train and dev, each with one subfolder per class."""
    found = (_split_folder(folder, TRAIN_FOLDERS), _split_folder(folder, DEV_FOLDERS))
    return all(split is not None and _classes(split) for split in found)


def read_images(name: str, data_dir: Path | None) -> TaskRows:
    """Read an image task: from the folder if one is given, else the known task of that name."""
    if data_dir is not None:
        return _read_folder(name, data_dir)
    return _read_digits() if name == DIGITS.name else CIFAR[name].read()


def _dataset(images: Sequence[np.ndarray | str], labels: list[int]) -> datasets.Dataset:
    """Images, as arrays or as the paths of their files, and their classes."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    return _numbered(
        datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    )


def _numbered(split: datasets.Dataset) -> datasets.Dataset:
    """The split with each row's position in the column `row`."""
    return split.add_column("row", list(range(len(split))))


def _read_digits() -> TaskRows:
    import numpy as np
    from sklearn.datasets import load_digits

    from rpmask.tasks.split import carve

    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)  # (rows, 8, 8)
    rows = _dataset(list(pixels), found.target.tolist())
    # The writers of the rows are not known, so dev is a stratified draw, always the same one.
    parts = carve(rows, DIGITS, seed=0, selection_rows=DIGITS_DEV_ROWS, train_rows=None)
    chosen = [part["row"][:] for part in parts]
    train, dev = (_dataset(list(pixels[at]), found.target[at].tolist()) for at in chosen)
    return TaskRows(DIGITS, train, {"dev": dev}, "scikit-learn:load_digits")


def _split_folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _classes(split: Path) -> tuple[str, ...]:
    """The subfolders in alphabetical order, without those that other programs leave behind."""
    folders = [path.name for path in split.iterdir() if path.is_dir()]
    return tuple(sorted(name for name in folders if not name.startswith((".", "__MACOSX"))))


def _read_folder(name: str, folder: Path) -> TaskRows:
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
            "Each needs one subfolder per class, and dev must have no class that train lacks.",
        )
    spec = image_spec(name, f"Images of {folder.name}", labels)
    train_rows, dev_rows = (_read_split(split, labels) for split in (train, dev))
    return TaskRows(spec, train_rows, {"dev": dev_rows}, f"folder:{folder}")


def _read_split(split: Path, labels: tuple[str, ...]) -> datasets.Dataset:
    from PIL import Image

    known = Image.registered_extensions()
    files = [
        (file, i)
        for i, label in enumerate(labels)
        for file in sorted((split / label).rglob("*"))
        if file.suffix.lower() in known
    ]
    if not files:
        raise RpmaskError(f"There are no images in {split}.", f"Put them in {split}/CLASS/.")
    return _dataset([str(file) for file, _ in files], [i for _, i in files])
