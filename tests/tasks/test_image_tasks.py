"""Image tasks: the digits, a folder of one's own, and what is said when CIFAR cannot be had."""

from __future__ import annotations

import time
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.images import DIGITS, IMAGE_TASKS, is_image_folder, read_images
from rpmask.tasks.registry import get_spec, load_task


def make_folder(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", each), ("test", 2)):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def test_digits_are_whole_and_apart() -> None:
    data = load_task("digits")
    sizes = [len(data.train), len(data.selection), len(data.dev["dev"])]
    assert sizes == [1078, 269, 450]
    assert sum(sizes) == 1797
    assert data.spec is DIGITS
    together = [
        image.tobytes()
        for s in (data.train, data.selection, *data.dev.values())
        for image in s["image"]
    ]
    assert len(set(together)) == len(together)  # no image is in two splits
    image = data.train[0]["image"]
    assert (image.size, image.mode) == ((8, 8), "L")
    # Stratified: each class is a tenth of each split, give or take.
    for split in (data.train, data.selection, data.dev["dev"]):
        shares = np.bincount(split["label"], minlength=10) / len(split)
        assert shares.min() > 0.09
        assert shares.max() < 0.11


def test_dev_does_not_depend_on_the_split_seed() -> None:
    one, other = (load_task("digits", DataChoice(split_seed=seed)).digests for seed in (0, 1))
    assert one["dev"] == other["dev"]
    assert one["train"] != other["train"]
    assert one == load_task("digits").digests


def test_the_registry_knows_them() -> None:
    assert IMAGE_TASKS == ("digits", "cifar10", "cifar100")
    with pytest.raises(RpmaskError, match="did you mean 'digits'") as caught:
        get_spec("digit")
    assert "cifar100" in caught.value.hint
    assert get_spec("Digits") is DIGITS
    assert load_task("digits", DataChoice(train_rows=20, selection_rows=10)).train.num_rows == 20


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert is_image_folder(folder)
    data = load_task("pets", DataChoice(data_dir=str(folder)))
    assert data.spec.name == "pets"
    assert data.spec.labels == ("cat", "dog")
    assert data.spec.inputs == "image"
    assert [len(data.train), len(data.selection), len(data.dev["dev"])] == [10, 2, 4]
    assert data.dev["dev"]["label"] == [0, 0, 1, 1]
    assert data.dev["dev"][0]["image"].size == (5, 4)
    before = data.digests["dev"]
    Image.new("RGB", (5, 4)).save(folder / "test" / "cat" / "0.png")
    assert load_task("pets", DataChoice(data_dir=str(folder))).digests["dev"] != before


def test_what_other_programs_leave_in_a_folder_is_no_class(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")
    for left in (".ipynb_checkpoints", "__MACOSX"):
        (folder / "train" / left).mkdir()
    assert load_task("pets", DataChoice(data_dir=str(folder))).spec.labels == ("cat", "dog")


def test_folders_that_are_no_task(tmp_path: Path) -> None:
    assert not is_image_folder(tmp_path)
    with pytest.raises(RpmaskError, match="lacks train"):
        read_images("pets", tmp_path)
    folder = make_folder(tmp_path / "one", classes=("cat",))
    with pytest.raises(RpmaskError, match="do not make a task"):
        read_images("pets", folder)
    folder = make_folder(tmp_path / "more")
    (folder / "test" / "fish").mkdir()
    with pytest.raises(RpmaskError, match="fish"):
        read_images("pets", folder)
    empty = make_folder(tmp_path / "empty", each=0)
    with pytest.raises(RpmaskError, match="no images"):
        read_images("pets", empty)


def test_cifar_offline_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    begun = time.monotonic()
    with pytest.raises(RpmaskError, match="hub cannot be reached") as caught:
        load_task("cifar100")
    assert time.monotonic() - begun < 30  # the client left to itself retries for longer
    for way in ("Connect", "--data-dir", "--task digits"):
        assert way in caught.value.hint


def test_cifar_is_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "fine_label": datasets.ClassLabel(names=["ant", "bee"]),
            "coarse_label": datasets.ClassLabel(names=["insect"]),
        }
    )
    folder = tmp_path / "uoft-cs___cifar100" / "cifar100" / "0.0.0" / "abc"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    for split, count in (("train", 10), ("test", 4)):
        images = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(count)]
        columns = {"img": images, "fine_label": [0, 1] * (count // 2), "coarse_label": [0] * count}
        made = datasets.Dataset.from_dict(columns, features=features)
        made.save_to_disk(tmp_path / "made" / split)
        (tmp_path / "made" / split / "data-00000-of-00001.arrow").rename(
            folder / f"cifar100-{split}.arrow"
        )
    data = load_task("cifar100")
    assert data.source == "cache:uoft-cs/cifar100/cifar100@abc"
    assert data.spec.labels == ("ant", "bee")
    assert len(data.train) + len(data.selection) == 10
    assert data.dev["dev"]["label"] == [0, 1, 0, 1]
    assert data.dev["dev"][3]["image"].getpixel((0, 0)) == (3, 0, 0)


def test_an_image_task_with_a_folder_of_no_images(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="is not an image folder: it lacks train"):
        load_task("digits", DataChoice(data_dir=str(tmp_path)))
