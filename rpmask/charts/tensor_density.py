"""The share of weights that a mask keeps in every tensor, as a table of layers and matrices.

Rows and columns are derived from the tensor names by one rule, so that BERT, GPT-2, DistilBERT and
ResNets need no list of names: a name is split after one of its layer numbers, the part up to the split
is the row and the rest the column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.charts.heat_map import heat_map
from rpmask.records import Pool, TensorCount
from rpmask.results import JackpotResult

MOST_LETTERS = 110  # that fit next to each other below the table

Words = tuple[str, ...]  # a tensor name split at its dots


@dataclass(frozen=True)
class Grid:
    """Tensor names arranged in rows (layers) and columns (matrices)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[str, tuple[int, int]]
    layer: str  # what the row names have in common


def density(pool: Pool, index: int) -> Figure:
    """The density of every tensor under one candidate's mask."""
    candidate, name = pool.candidates[index], style.name_in(pool, index)
    place = f"{pool.task}, level {pool.level}"
    return _density(candidate.tensors, name, place, candidate.mask_digest)


def found_density(result: JackpotResult) -> Figure:
    """The density of every tensor under the mask that a jackpot search found."""
    place = f"{result.task}, level {result.level}"
    return _density(result.tensors, f"jackpot from {result.start}", place, result.mask_digest)


@style.styled
def _density(tensors: Mapping[str, TensorCount], name: str, place: str, digest: str) -> Figure:
    title = f"Weights kept per tensor: {name}"
    if not tensors:
        return style.note(title, "The mask covers no tensor.")
    grid = lay_out(tensors)
    kept = np.full((len(grid.rows), len(grid.columns)), np.nan)  # (layers, matrices)
    for tensor, count in tensors.items():
        kept[grid.cells[tensor]] = 100 * count.kept / max(count.total, 1)
    left = sum(count.kept for count in tensors.values())
    total = sum(count.total for count in tensors.values())
    share = 100 * left / max(total, 1)
    subtitle = f"{place}; {left:,} of {total:,} weights kept ({share:.2f}%); mask {digest[:12]}"
    lowest, highest = float(np.nanmin(kept)), float(np.nanmax(kept))
    figure = style.framed(
        min(max(0.27 * len(grid.rows), 0.8) + 1.0, 16),
        title,
        subtitle,
        description=f"{title}. {subtitle}. From {lowest:.2f}% to {highest:.2f}% per tensor.",
    )
    axes = heat_map(
        figure,
        kept,
        # From zero, with the mask's own density at most in the middle: a uniform mask has one even
        # tone, and a tensor's tone shows how far it is from the whole.
        Normalize(0, max(highest, 2 * share) or 1.0),
        rows=grid.rows,
        unit="weights kept (%)",
        digits=1 if highest >= 10 else 2,
    )
    axes.set_ylabel(grid.layer)
    axes.set_xticks(np.arange(len(grid.columns)) + 0.5, grid.columns)
    if len(grid.columns) * max(len(column) for column in grid.columns) > MOST_LETTERS:
        for text in axes.get_xticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")
    return figure


def lay_out(names: Iterable[str]) -> Grid:
    """Arrange tensor names in the smallest table of rows and columns.

    A name with several numbers (`stages.0.layers.1.layer.2`) can be split after any of them. The split
    with the fewest rows plus columns is used, the earliest one among equals.
    """
    parts = {name: tuple(name.removesuffix(".weight").split(".")) for name in names}
    deepest = max(sum(word.isdigit() for word in words) for words in parts.values())
    tables = [_split(parts, numbers) for numbers in range(1, max(deepest, 1) + 1)]
    table = min(
        tables, key=lambda t: len({r for r, _ in t.values()}) + len({c for _, c in t.values()})
    )
    rows = sorted({row for row, _ in table.values()}, key=_natural)
    columns = list(dict.fromkeys(column for _, column in table.values()))
    cells = {name: (rows.index(row), columns.index(col)) for name, (row, col) in table.items()}
    numbered = [row for row in rows if any(word.isdigit() for word in row)]
    same = takewhile(lambda words: len(set(words)) == 1, zip(*numbered, strict=False))
    shared = tuple(words[0] for words in same) if len(numbered) > 1 else ()
    return Grid(
        rows=tuple(".".join(r[len(shared) :] if r in numbered else r) or "(top)" for r in rows),
        columns=tuple(".".join(column) or "weight" for column in columns),
        cells=cells,
        layer=".".join(shared),
    )


def _split(parts: Mapping[str, Words], numbers: int) -> dict[str, tuple[Words, Words]]:
    """Split every name after its `numbers`-th number; without any, before its last word."""
    table: dict[str, tuple[Words, Words]] = {}
    for name, words in parts.items():
        places = [i + 1 for i, word in enumerate(words) if word.isdigit()][:numbers]
        at = places[-1] if places else len(words) - 1
        table[name] = words[:at], words[at:]
    return table


def _natural(row: Words) -> list[tuple[bool, int, str]]:
    """A sort key by which layer 2 comes before layer 10."""
    return [(word.isdigit(), int(word) if word.isdigit() else 0, word) for word in row]
