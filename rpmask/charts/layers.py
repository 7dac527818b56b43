"""Where a mask keeps its weights: density per tensor, layer by matrix.

Rows and columns come from the tensors' dotted names by one rule, so that BERT, GPT-2, DistilBERT
and ResNets need no table of names: a name is cut behind one of its layer numbers, what is before
the cut is the row and what follows it the column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rpmask.charts import style
from rpmask.records import Pool, TensorCount
from rpmask.results import JackpotResult


@dataclass(frozen=True)
class Grid:
    """Tensor names laid out as rows (layers) and columns (matrices)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[str, tuple[int, int]]
    layer: str


def density(pool: Pool, index: int) -> Figure:
    """Heat map of the share of weights that one candidate keeps in every tensor."""
    candidate, name = style.candidate_in(pool, index), style.name_in(pool, index)
    place = f"{pool.task}, level {pool.level}"
    return _density(candidate.tensors, name, place, candidate.mask_digest)


def found_density(result: JackpotResult) -> Figure:
    """The same of the mask that a jackpot search found."""
    place = f"{result.task}, level {result.level}"
    return _density(result.tensors, f"jackpot from {result.start}", place, result.mask_digest)


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
    parts = [place, f"{left:,} of {total:,} weights kept ({share:.2f} %)", f"mask {digest[:12]}"]
    subtitle = style.DOT.join(parts)
    lowest, highest = float(np.nanmin(kept)), float(np.nanmax(kept))
    figure = style.framed(
        min(max(0.27 * len(grid.rows), 0.8) + 1.0, 16),
        title,
        subtitle,
        description=f"{title}. {subtitle}. From {lowest:.2f} % to {highest:.2f} % a tensor.",
    )
    axes = figure.add_subplot()
    # From zero, and the mask's own density no darker than the middle: a uniform mask is one even
    # tone, and a tensor's tone says how far it is from the whole.
    scale = Normalize(0, max(highest, 2 * share) or 1.0)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(kept), cmap=style.HEAT, norm=scale, edgecolors="white", linewidth=1.5
    )
    style.heat_axes(axes)
    axes.set_xticks(np.arange(len(grid.columns)) + 0.5, [_wrapped(c) for c in grid.columns])
    axes.set_yticks(np.arange(len(grid.rows)) + 0.5, grid.rows)
    axes.set_ylabel(grid.layer, fontsize=style.TEXT)
    if len(grid.columns) > 9:
        axes.tick_params(axis="x", rotation=90)
    _write_cells(axes, kept, scale)
    style.colour_bar(figure, axes, mesh, "weights kept (%)")
    return figure


def lay_out(names: Iterable[str]) -> Grid:
    """Rows and columns for tensor names; the cut that gives the most compact table is taken.

    A name with several numbers (`stages.0.layers.1.layer.2`) may be cut behind any of them; the
    number of rows plus columns decides, and between equals the earliest cut.
    """
    parts = {name: name.removesuffix(".weight").split(".") for name in names}
    deepest = max(sum(p.isdigit() for p in words) for words in parts.values())
    tables = [_cut(parts, numbers) for numbers in range(1, max(deepest, 1) + 1)]
    cuts = min(
        tables, key=lambda t: len({r for r, _ in t.values()}) + len({c for _, c in t.values()})
    )
    rows = _in_order(row for row, _ in cuts.values())
    columns = list(dict.fromkeys(column for _, column in cuts.values()))
    cells = {name: (rows.index(row), columns.index(column)) for name, (row, column) in cuts.items()}
    shown, layer = _short_rows(rows)
    return Grid(tuple(shown), tuple(_short_columns(columns)), cells, layer)


Words = tuple[str, ...]


def _cut(parts: dict[str, list[str]], numbers: int) -> dict[str, tuple[Words, Words]]:
    """Split every name behind its `numbers`-th number; without one, before its last word."""
    cuts: dict[str, tuple[Words, Words]] = {}
    for name, words in parts.items():
        places = [i + 1 for i, word in enumerate(words) if word.isdigit()][:numbers]
        at = places[-1] if places else len(words) - 1
        cuts[name] = tuple(words[:at]), tuple(words[at:])
    return cuts


def _in_order(rows: Iterable[Words]) -> list[Words]:
    """Stacks of layers in the order they first appear, layers inside each by number."""
    distinct = list(dict.fromkeys(rows))
    stacks = list(dict.fromkeys(_stack(row) for row in distinct))
    return sorted(
        distinct,
        key=lambda row: (stacks.index(_stack(row)), [int(word) for word in row if word.isdigit()]),
    )


def _stack(row: Words) -> Words:
    return tuple(word for word in row if not word.isdigit())


def _short_rows(rows: Sequence[Words]) -> tuple[list[str], str]:
    """Row names without what the numbered ones share, which becomes the name of the axis."""
    numbered = [row for row in rows if any(word.isdigit() for word in row)]
    shared = _common_start(numbered) if len(numbered) > 1 else ()
    shown = [".".join(row[len(shared) :] if row in numbered else row) or "(top)" for row in rows]
    return shown, ".".join(shared)


def _common_start(rows: Sequence[Words]) -> Words:
    alike = takewhile(lambda words: len(set(words)) == 1, zip(*rows, strict=False))
    return tuple(words[0] for words in alike)


def _short_columns(columns: Sequence[Words]) -> list[str]:
    """Column names without words that tell nothing apart: those that follow as the only one.

    `output.dense` is `output` where nothing else is `output.*`; `attention.self.query` stays.
    """
    followers: dict[Words, set[str | None]] = {}
    for words in columns:
        for i in range(len(words) + 1):
            followers.setdefault(words[:i], set()).add(words[i] if i < len(words) else None)
    return [
        ".".join(word for i, word in enumerate(words) if i == 0 or len(followers[words[:i]]) > 1)
        or "weight"
        for words in columns
    ]


def _wrapped(column: str) -> str:
    """A dotted name on as few lines as fit the width of a cell."""
    lines = [""]
    for word in column.split("."):
        joined = f"{lines[-1]}.{word}" if lines[-1] else word
        if len(joined) <= 14:
            lines[-1] = joined
        else:
            lines[-1:] = [f"{lines[-1]}.", word] if lines[-1] else [word]
    return "\n".join(lines)


def _write_cells(axes: Axes, kept: np.ndarray, scale: Normalize) -> None:
    """The figure in every cell, where cells are large enough to hold it."""
    if kept.shape[1] > 14:
        return
    digits = 1 if np.nanmax(kept) >= 10 else 2
    for (row, column), value in np.ndenumerate(kept):
        known = bool(np.isfinite(value))
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.{digits}f}" if known else "–",
            ha="center",
            va="center",
            fontsize=style.SMALL,
            color=style.ink_on(float(scale(value))) if known else style.GREY,
        )
