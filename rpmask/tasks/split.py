"""Carve the selection split from train, seeded, with the labels in train's proportions.

Masks, checkpoints and hyperparameters are chosen on the selection split, so that dev is read only once,
for the final report.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import canonical_json
from rpmask.tasks.spec import TaskData, TaskRows, TaskSpec

DEFAULT_SHARE = 0.2
DEFAULT_LIMIT = 1000
QUANTILE_BINS = 10
DOCUMENT = "document"  # the column of rows that stay together
CONTINUES = "continues"  # the column of passages, which continue the text of the row before


def split_task(
    rows: TaskRows, *, seed: int, selection_rows: int | None, train_rows: int | None
) -> TaskData:
    """Carve the selection split from train and compute the digest of every split."""
    train, selection = carve(
        rows.train, rows.spec, seed=seed, selection_rows=selection_rows, train_rows=train_rows
    )
    splits = {"train": train, "selection": selection, **rows.dev}
    digests = {name: digest(split) for name, split in splits.items()}
    return TaskData(rows.spec, train, selection, rows.dev, rows.source, digests)


def carve(
    rows: datasets.Dataset,
    spec: TaskSpec,
    *,
    seed: int,
    selection_rows: int | None,
    train_rows: int | None,
) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Split train's rows into (train, selection), both in their original order.

    `selection_rows` defaults to a fifth of the rows, at most 1000; `train_rows` limits the rows that
    stay in train. Rows of one document stay together, so the selection may have some rows more or less.
    """
    total = len(rows)
    if selection_rows is None:
        selection_rows = max(1, min(int(DEFAULT_SHARE * total), DEFAULT_LIMIT))
    if not 1 <= selection_rows < total:
        raise RpmaskError(
            f"A selection split of {selection_rows} rows cannot be carved from {total} train rows.",
            "It needs at least one row and must leave one to train on.",
        )
    if train_rows is not None and train_rows < 1:
        raise RpmaskError(
            f"train_rows is {train_rows}; at least one row is needed to train on.",
            "Leave it out to train on all rows.",
        )
    random = _generator(seed, "selection")
    if DOCUMENT in rows.column_names:
        strata = np.zeros(total, dtype=np.int64)
        chosen = _draw_documents(np.asarray(rows[DOCUMENT][:]), selection_rows, random)
    else:
        strata = _strata(rows["label"][:], classes=bool(spec.labels))
        chosen = _draw(np.arange(total), strata, selection_rows, random)
    rest = np.setdiff1d(np.arange(total), chosen)
    if train_rows is not None and train_rows < len(rest):
        if CONTINUES in rows.column_names:
            rest = rest[:train_rows]  # neighbours, so that few texts are torn
        else:
            rest = _draw(rest, strata, train_rows, _generator(seed, "train"))
    return rows.select(rest), rows.select(chosen)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    entropy = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(entropy[:16], "big"))


def _strata(labels: list[float], *, classes: bool) -> npt.NDArray[np.int64]:
    """The stratum of each row: its class, or the tenth of the rows that its value falls in."""
    values = np.asarray(labels)
    if classes:
        return values.astype(np.int64)
    edges = np.quantile(values, np.linspace(0, 1, QUANTILE_BINS + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _draw_documents(
    documents: npt.NDArray[np.int64], count: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw whole documents until they have about `count` rows; at least one, and not all."""
    names, sizes = np.unique(documents, return_counts=True)
    if len(names) < 2:
        raise RpmaskError(
            "All rows of train are of one document, which cannot be divided.",
            "Mark where documents begin, or leave the marks out: every row is then its own document.",
        )
    order = generator.permutation(len(names))[:-1]
    totals = np.cumsum(sizes[order])
    taken = int(np.abs(totals - count).argmin()) + 1
    return np.flatnonzero(np.isin(documents, names[order[:taken]]))


def _draw(
    pool: npt.NDArray[np.int64],
    strata: npt.NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Draw `count` rows of the pool in proportion to its strata, by largest remainders.

    Unlike scikit-learn's stratified split, it accepts a stratum of a single row.
    """
    shuffled = generator.permutation(pool)
    groups = [shuffled[strata[shuffled] == stratum] for stratum in np.unique(strata[pool])]
    exact = np.array([len(group) * count / len(pool) for group in groups])
    quota = np.floor(exact).astype(np.int64)
    # A stable sort of the remainders gives ties to the lower stratum, the same on every machine.
    for stratum in np.argsort(quota - exact, kind="stable")[: count - int(quota.sum())]:
        quota[stratum] += 1
    taken = [group[:size] for group, size in zip(groups, quota, strict=True)]
    return np.sort(np.concatenate(taken))


def digest(split: datasets.Dataset) -> str:
    """sha256 over the rows in order, each a line of canonical JSON; an image counts by its own sha256."""
    for name, feature in split.features.items():
        if isinstance(feature, datasets.Image):
            split = split.cast_column(name, datasets.Image(decode=False))
    total = hashlib.sha256()
    for batch in split.iter(1000):
        for row in zip(*batch.values(), strict=True):
            total.update(canonical_json([_hashable(value) for value in row]).encode() + b"\n")
    return total.hexdigest()


def _hashable(value: Any) -> Any:
    """The value itself, or the sha256 of an undecoded image's file."""
    if not isinstance(value, dict):
        return value
    content = value["bytes"] or Path(value["path"]).read_bytes()
    return hashlib.sha256(content).hexdigest()
