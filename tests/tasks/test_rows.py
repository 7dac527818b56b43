"""From values to checked examples: labels, digests, datasets."""

import json
from hashlib import sha256

import datasets
import pytest

from rpmask.errors import RpmaskError
from rpmask.tasks.glue import GLUE
from rpmask.tasks.rows import Columns, class_name, text_rows
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.split import digest
from rpmask.tasks.tables import Table

SENTENCE = Columns("sentence", "label")


def table(labels: list[object], texts: list[object] | None = None) -> Table:
    texts = texts or ["x"] * len(labels)
    return Table("file", {"sentence": texts, "label": labels}, range(2, len(labels) + 2))


def own_spec(*labels: str) -> TaskSpec:
    kind = "classification" if labels else "regression"
    return TaskSpec("own", "t", kind, labels, False, ("accuracy",), "accuracy")


def test_names_and_indices_are_the_same_label() -> None:
    rows = text_rows(table(["negative", "1", 0, 1.0]), SENTENCE, GLUE["sst2"].spec, indices=True)
    assert rows[:] == {"text": ["x"] * 4, "label": [0, 1, 0, 1], "row": [0, 1, 2, 3]}


def test_indices_are_unknown_labels_where_only_names_are_taken() -> None:
    assert text_rows(table(["1", "3"]), SENTENCE, own_spec("1", "2", "3"))["label"][:] == [0, 2]
    with pytest.raises(RpmaskError, match="unknown label '0'"):
        text_rows(table(["1", "0"]), SENTENCE, own_spec("1", "2", "3"))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("neutral", "file, line 3, column 'label': unknown label 'neutral'"),
        (2, "file, line 3, column 'label': unknown label 2"),
        (-1, "unknown label -1"),
        (0.5, "unknown label 0.5"),
        (float("nan"), "file, line 3, column 'label': no label (nan)"),
        ("NaN", "no label ('NaN')"),
        ("", "no label ('')"),
        (None, "no label (None)"),
        ([0], "no label ([0])"),
        ("\ud800", "no label ('\\ud800')"),
    ],
)
def test_bad_classes(label: object, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        text_rows(table([0, label]), SENTENCE, GLUE["sst2"].spec, indices=True)
    assert message in caught.value.message
    assert "'negative', 'positive', or their indices 0 to 1" in caught.value.hint


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("5.1", "file, line 3, column 'label': '5.1' is out of range"),
        (-0.1, "-0.1 is out of range"),
        ("nan", "'nan' is not a finite number"),
        ("inf", "'inf' is not a finite number"),
        ("high", "'high' is not a finite number"),
        (None, "None is not a finite number"),
        (True, "True is not a finite number"),
        (10**400, "... is not a finite number"),
    ],
)
def test_bad_scores(label: object, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        text_rows(table(["5.000", label]), SENTENCE, own_spec(), score_range=(0.0, 5.0))
    assert message in caught.value.message


def test_scores_are_rounded_to_what_training_sees() -> None:
    assert text_rows(table(["3.8", 2]), SENTENCE, own_spec())["label"][:] == [
        3.799999952316284,
        2.0,
    ]
    with pytest.raises(RpmaskError, match="too large"):
        text_rows(table([1e39]), SENTENCE, own_spec())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "column 'sentence': no value where a text was expected"),
        (7, "column 'sentence': 7 where a text was expected"),
        ("a\udc00", "column 'sentence': half of a surrogate pair"),
    ],
)
def test_bad_texts(text: object, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        text_rows(table([0, 1], ["", text]), SENTENCE, GLUE["sst2"].spec, indices=True)
    assert message in caught.value.message


def test_a_second_text_is_named_exactly_for_pairs() -> None:
    with pytest.raises(RpmaskError, match="compares two texts"):
        text_rows(table([0]), SENTENCE, GLUE["rte"].spec)
    with pytest.raises(RpmaskError, match="has one text"):
        text_rows(table([0]), Columns("sentence", "label", "other"), GLUE["sst2"].spec)


def test_class_names() -> None:
    assert [class_name(value) for value in (True, 3, 3.0, 2.5, "3.0", " a")] == [
        "true", "3", "3", "2.5", "3.0", " a",
    ]  # fmt: skip
    assert class_name(float("inf")) is None


def pairs(*rows: tuple[str, str, int]) -> datasets.Dataset:
    first, second, label = (list(column) for column in zip(*rows, strict=True))
    values = {"a": first, "b": second, "label": label}
    both = Table("file", values, range(1, len(label) + 1))
    return text_rows(both, Columns("a", "label", "b"), GLUE["rte"].spec, indices=True)


def test_digest_is_of_the_rows_in_order() -> None:
    rows = pairs(("é", "", 1), ("b", '"', 0))
    lines = '["é","",1,0]\n["b","\\"",0,1]\n'
    assert [json.loads(line) for line in lines.splitlines()] == [["é", "", 1, 0], ["b", '"', 0, 1]]
    assert digest(rows) == sha256(lines.encode()).hexdigest()
    assert digest(rows.select([1, 0])) != digest(rows)
    assert digest(rows.select([1, 0]).select([1, 0])) == digest(rows)


def test_dataset_columns_and_types() -> None:
    assert pairs(("a", "b", 1))[0] == {"text": "a", "text_pair": "b", "label": 1, "row": 0}
    single = text_rows(table([0.5]), SENTENCE, own_spec())
    assert {name: kind.dtype for name, kind in single.features.items()} == {
        "text": "string", "label": "float32", "row": "int64",
    }  # fmt: skip
    assert single.cache_files == []
