"""Any dataset of the hub by its address, from the cache of `datasets`."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks import hub
from rpmask.tasks.registry import load_task
from rpmask.tasks.spec import TaskData

MOODS = datasets.Features(
    {"tweet": datasets.Value("string"), "mood": datasets.ClassLabel(names=["joy", "anger"])}
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of `datasets`, and no network."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: "no network")
    return tmp_path


def fill(
    cache: Path,
    rows: dict[str, list[object]],
    features: datasets.Features | None = None,
    config: str = "default",
    splits: tuple[str, ...] = ("train", "validation"),
) -> None:
    """Lay the files out as `datasets` does after a download."""
    folder = cache / "someone___moods" / config / "0.0.0" / "abc"
    for split in splits:
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / split)
        (folder / split / "data-00000-of-00001.arrow").rename(folder / f"moods-{split}.arrow")
    (folder / "dataset_info.json").write_text("{}")


def loaded(train: str, dev: str, **choice: str) -> TaskData:
    return load_task("mine", DataChoice(train=train, dev=dev, selection_rows=1, **choice))


def test_named_columns_and_classes_by_name(cache: Path) -> None:
    fill(cache, {"tweet": ["a", "b", "c"], "mood": [0, 1, 1]}, MOODS)
    address = "hub:someone/moods"
    data = loaded(address, address, text="tweet", label="mood")
    assert data.spec.labels == ("anger", "joy")
    assert data.dev["dev"]["label"][:] == [1, 0, 0]
    assert data.source == f"files:{address},{address}"


def test_splits_and_configurations_by_name(cache: Path) -> None:
    fill(cache, {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}, config="one")
    rows: dict[str, list[object]] = {"text": ["d", "e", "f"], "label": ["x", "y", "x"]}
    fill(cache, rows, config="two", splits=("train", "validation_matched"))
    data = loaded("hub:someone/moods:two:train", "hub:someone/moods:validation_matched")
    assert data.dev["dev"]["text"][:] == ["d", "e", "f"]
    assert (
        loaded("hub:someone/moods:one:train", "hub:someone/moods:one:train").dev["dev"]["text"][0]
        == "a"
    )


def test_tags_by_name(cache: Path) -> None:
    tags = datasets.List(datasets.ClassLabel(names=["O", "B-PER"]))
    features = datasets.Features({"words": datasets.List(datasets.Value("string")), "ner": tags})
    fill(cache, {"words": [["Ada", "ran"]] * 3, "ner": [[1, 0]] * 3}, features)
    address = "hub:someone/moods"
    data = loaded(address, address, text="words", label="ner", kind="tokens")
    assert data.spec.kind == "tokens"
    assert set(data.spec.labels) == {"O", "B-PER"}


def test_a_text_to_predict_leaves_blank_rows_out(cache: Path) -> None:
    fill(cache, {"body": ["one", "", "two", "three"]})
    address = "hub:someone/moods"
    data = loaded(address, address, text="body", kind="language")
    assert data.dev["dev"]["text"][:] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("rows", "features", "problem"),
    [
        (
            {"tweet": ["a", "b"], "mood": [0, -1]},
            MOODS,
            "hub:someone/moods, row 2, column 'mood': no label",
        ),
        ({"tweet": ["a", "b"]}, None, "hub:someone/moods has no column 'mood'"),
    ],
)
def test_bad_rows_name_the_dataset_and_the_row(
    cache: Path,
    rows: dict[str, list[object]],
    features: datasets.Features | None,
    problem: str,
) -> None:
    fill(cache, rows, features)
    with pytest.raises(RpmaskError, match=problem):
        loaded("hub:someone/moods", "hub:someone/moods", text="tweet", label="mood")


@pytest.mark.parametrize("address", ["hub:", "hub:a/b:", "hub:a/b:c:d:e"])
def test_an_address_that_says_too_little_or_too_much(cache: Path, address: str) -> None:
    with pytest.raises(RpmaskError, match="is no address of a dataset") as caught:
        loaded(address, address)
    assert "hub:ORG/NAME:SPLIT" in caught.value.hint


def test_what_is_neither_cached_nor_reachable(cache: Path) -> None:
    fill(cache, {"text": ["a"], "label": ["x"]})
    with pytest.raises(RpmaskError, match="'hub:someone/moods:dev' is not on this machine"):
        loaded("hub:someone/moods", "hub:someone/moods:dev")


def test_a_download_without_the_split(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: None)
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": ["x"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: {"train": rows, "test": rows})
    with pytest.raises(RpmaskError, match="no split 'validation'") as caught:
        loaded("hub:someone/moods", "hub:someone/moods")
    assert caught.value.hint == "Its splits are: train, test."
