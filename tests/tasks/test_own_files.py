"""A user's own files: formats, the kind of task found, and what is refused."""

import json
from pathlib import Path

import datasets
import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.own_files import read_own
from rpmask.tasks.spec import TaskRows

TEXTS = ["one", 'two "2", too', "drei\u2028", ""]
LABELS = ["b", "a", "b", "c"]


def write(path: Path, texts: list[str], labels: list[object]) -> Path:
    """Write the rows in the format that the path's ending names."""
    rows = [{"text": t, "label": n} for t, n in zip(texts, labels, strict=True)]
    if path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(str(path))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".tsv":
        lines = [f"{t}\t{n}" for t, n in zip(texts, labels, strict=True)]
        path.write_text("\n".join(["text\tlabel", *lines]), encoding="utf-8")
    else:
        quoted = [t.replace('"', '""') for t in texts]
        lines = [f'"{t}",{n}' for t, n in zip(quoted, labels, strict=True)]
        path.write_text("\r\n".join(["text,label", *lines]), encoding="utf-8")
    return path


def read(train: Path, dev: Path, name: str = "own", **given: str) -> TaskRows:
    return read_own(name, DataChoice(train=str(train), dev=str(dev), **given))


def files(folder: Path, labels: list[object], suffix: str = ".jsonl", **given: str) -> TaskRows:
    texts = [f"t{i}" for i in range(len(labels))]
    train = write(folder / f"train{suffix}", texts, labels)
    return read(train, train, **given)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".CSV"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    train = write(tmp_path / f"train{suffix}", TEXTS, list(LABELS))
    dev = write(tmp_path / f"dev{suffix}", TEXTS[::-1], LABELS[::-1])
    found = read(train, dev)
    spec = found.spec
    assert (spec.kind, spec.labels, spec.pair) == ("classification", ("a", "b", "c"), False)
    assert found.train[:] == {"text": TEXTS, "label": [1, 0, 1, 2], "row": [0, 1, 2, 3]}
    assert found.dev["dev"][:] == {
        "text": TEXTS[::-1],
        "label": [2, 1, 0, 1],
        "row": [0, 1, 2, 3],
    }


def test_formats_can_be_mixed_and_columns_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("q,a,match,id\nwhy,so,yes,1\nwho,me,no,2\n")
    (tmp_path / "dev.jsonl").write_text('{"a": "x", "q": "y", "match": "no"}\n')
    found = read(
        tmp_path / "train.csv", tmp_path / "dev.jsonl", text="q", text_pair="a", label="match"
    )
    assert (found.spec.pair, found.spec.labels) == (True, ("no", "yes"))
    assert found.train[:] == {
        "text": ["why", "who"],
        "text_pair": ["so", "me"],
        "label": [1, 0],
        "row": [0, 1],
    }
    assert found.dev["dev"][:] == {"text": ["y"], "text_pair": ["x"], "label": [0], "row": [0]}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        ([0.5, 1.0, 2.0], "regression", ()),
        ([float(i) for i in range(21)], "regression", ()),
        ([10, 9, 9, 1], "classification", ("1", "9", "10")),
        ([i for i in range(30) for _ in range(3)], "classification", tuple(map(str, range(30)))),
        (["1e-3", "2"], "regression", ()),
        (["0.5", "high"], "classification", ("0.5", "high")),
    ],
)
def test_the_kind_is_found(
    tmp_path: Path, suffix: str, labels: list[object], kind: str, names: tuple[str, ...]
) -> None:
    found = files(tmp_path, labels, suffix)
    spec, coded = found.spec, found.train["label"][:]
    assert (spec.kind, spec.labels) == (kind, names)
    if kind == "regression":
        assert coded == pytest.approx([float(str(label)) for label in labels])
        assert (spec.primary, spec.outputs) == ("combined", 1)
    else:
        assert [names[i] for i in coded] == [str(label) for label in labels]
        assert (spec.primary, spec.outputs) == ("accuracy", len(names))


def test_few_whole_floats_are_classes_and_booleans_are_named(tmp_path: Path) -> None:
    assert files(tmp_path, [1.0, 0.0, 1.0]).spec.labels == ("0", "1")
    assert files(tmp_path, [True, False]).spec.labels == ("false", "true")


def test_a_kind_that_is_given_is_kept(tmp_path: Path) -> None:
    scale = files(tmp_path, [3, 1, 2], kind="regression")
    assert scale.train["label"][:] == [3.0, 1.0, 2.0]
    classes = files(tmp_path, [0.5, 1.0, 0.5], kind="classification")
    assert classes.spec.labels == ("0.5", "1")


def test_metrics_fit_the_task(tmp_path: Path) -> None:
    assert "f1" in files(tmp_path, ["a", "b"]).spec.metrics
    assert "f1" not in files(tmp_path, ["a", "b", "c"]).spec.metrics


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (["a", None], {}, "train.jsonl, line 2, column 'label': no label (None)"),
        ([1.0, float("nan")], {}, "train.jsonl, line 2, column 'label': no label (nan)"),
        (["a", ""], {}, "train.jsonl, line 2, column 'label': no label ('')"),
        (["a", {"b": 1}], {}, "no label ({'b': 1})"),
        (["a", "a"], {}, "every label in column 'label' is 'a'"),
        ([f"name {i}" for i in range(50)], {}, "column 'label' has 50 different values in 50 rows"),
        (["9" * 5000, "1"], {}, "line 1, column 'label': '999"),
        (["1", "two"], {"kind": "regression"}, "line 2, column 'label': 'two' is not a finite"),
        ([1, 2], {"kind": "ranking"}, "'ranking' is no kind of task"),
        ([1, 2], {"name": "a/b"}, "'a/b' cannot name a task"),
        ([1, 2], {"text": "body"}, "train.jsonl has no column 'body'"),
        ([1, 2], {"label": "y"}, "train.jsonl has no column 'y'"),
        ([1, 2], {"text_pair": "other"}, "train.jsonl has no column 'other'"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, labels: list[object], given: dict[str, str], message: str
) -> None:
    with pytest.raises(RpmaskError) as caught:
        files(tmp_path, labels, **given)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_dev_label_that_train_lacks(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", ["x", "y"], ["a", "b"])
    dev = write(tmp_path / "dev.csv", ["x", "y"], ["a", "0"])
    with pytest.raises(RpmaskError) as caught:
        read(train, dev)
    assert caught.value.message == f"{dev}, line 3, column 'label': unknown label '0'."
    assert caught.value.hint == "The labels of 'own' are 'a', 'b'."


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", ["x", "y"], ["a", "b"])
    with pytest.raises(RpmaskError, match=r"There is no file .*dev\.csv"):
        read(train, tmp_path / "dev.csv")
    with pytest.raises(RpmaskError, match=r"ends in '\.xlsx'"):
        read(train, tmp_path / "dev.xlsx")
