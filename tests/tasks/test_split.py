"""The selection split: seeded, disjoint, in train's proportions."""

from collections import Counter

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.tasks.glue import GLUE
from rpmask.tasks.split import carve

CLASSES, SCORES = GLUE["mnli"].spec, GLUE["stsb"].spec


def rows_with(labels: list[int] | list[float]) -> datasets.Dataset:
    rows = list(range(len(labels)))
    return datasets.Dataset.from_dict({"text": list(map(str, rows)), "label": labels, "row": rows})


def test_default_size_is_a_fifth_and_at_most_a_thousand() -> None:
    for total, expected in ((2, 1), (100, 20), (4_999, 999), (60_000, 1_000)):
        rows = rows_with([i % 3 for i in range(total)])
        train, selection = carve(rows, CLASSES, seed=0, selection_rows=None, train_rows=None)
        assert (len(train), len(selection)) == (total - expected, expected)


@settings(deadline=None)
@given(st.data(), st.lists(st.integers(0, 2), min_size=2, max_size=60), st.integers(0, 2**63))
def test_disjoint_ordered_exact_and_proportional(
    data: st.DataObject, labels: list[int], seed: int
) -> None:
    size = data.draw(st.integers(1, len(labels) - 1))
    rows = rows_with(labels)
    train, selection = carve(rows, CLASSES, seed=seed, selection_rows=size, train_rows=None)
    assert len(selection) == size
    assert sorted(train["row"][:] + selection["row"][:]) == rows["row"][:]
    assert train["row"][:] == sorted(train["row"][:])
    assert selection["row"][:] == sorted(selection["row"][:])
    assert all(example["text"] == str(example["row"]) for example in selection)
    counts = Counter(selection["label"][:])
    for label, count in Counter(labels).items():
        assert abs(counts[label] - count * size / len(labels)) < 1


def test_same_seed_same_rows_other_seed_other_rows() -> None:
    rows = rows_with([i % 2 for i in range(200)])

    def drawn(seed: int) -> list[int]:
        return carve(rows, CLASSES, seed=seed, selection_rows=40, train_rows=None)[1]["row"][:]

    assert drawn(3) == drawn(3)
    assert len({tuple(drawn(seed)) for seed in range(20)}) == 20


def test_the_split_of_seed_zero_is_pinned() -> None:
    """A changed split would make old selections incomparable with new ones."""
    rows = rows_with([i % 2 for i in range(20)])
    train, selection = carve(rows, CLASSES, seed=0, selection_rows=4, train_rows=6)
    assert selection["row"][:] == [3, 6, 14, 15]
    assert train["row"][:] == [2, 4, 5, 7, 16, 19]


def test_fewer_train_rows_leave_the_selection_as_it_was() -> None:
    rows = rows_with([int(i % 4 == 0) for i in range(400)])
    train, selection = carve(rows, CLASSES, seed=1, selection_rows=40, train_rows=None)
    few, same = carve(rows, CLASSES, seed=1, selection_rows=40, train_rows=100)
    assert same[:] == selection[:]
    assert len(few) == 100
    assert set(few["row"][:]) < set(train["row"][:])
    assert Counter(few["label"][:]) == {0: 75, 1: 25}
    assert carve(rows, CLASSES, seed=1, selection_rows=40, train_rows=9_999)[0][:] == train[:]


def test_regression_is_stratified_on_quantiles() -> None:
    labels = np.random.default_rng(0).exponential(size=1_000).astype(np.float32).tolist()
    _, selection = carve(rows_with(labels), SCORES, seed=0, selection_rows=100, train_rows=None)
    edges = np.quantile(labels, np.linspace(0, 1, 11))
    counts, _ = np.histogram(selection["label"][:], edges)
    assert counts.tolist() == [10] * 10


def test_a_class_of_one_row_is_no_obstacle() -> None:
    train, selection = carve(
        rows_with([0] * 9 + [1]), CLASSES, seed=0, selection_rows=2, train_rows=None
    )
    assert (train["label"][:].count(1), selection["label"][:].count(1)) == (1, 0)


def test_constant_scores_are_one_stratum() -> None:
    _, selection = carve(rows_with([1.5] * 10), SCORES, seed=0, selection_rows=3, train_rows=None)
    assert len(selection) == 3


@pytest.mark.parametrize("size", [0, 10, -3])
def test_impossible_sizes(size: int) -> None:
    rows = rows_with([0, 1] * 5)
    with pytest.raises(RpmaskError, match=f"split of {size} rows cannot be carved from 10"):
        carve(rows, CLASSES, seed=0, selection_rows=size, train_rows=None)
    with pytest.raises(RpmaskError, match="train_rows is 0"):
        carve(rows, CLASSES, seed=0, selection_rows=2, train_rows=0)
    with pytest.raises(RpmaskError, match="split of 1 rows cannot be carved from 1"):
        carve(rows_with([0]), CLASSES, seed=0, selection_rows=None, train_rows=None)
