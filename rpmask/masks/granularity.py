"""The units a mask keeps or drops: single weights, n of m, blocks, neurons, heads.

Every granularity is a tiling of matrices, and the same sampler runs over the tiles, whose importance is the
sum over their weights. Sparsity counts units of the tensors that the granularity covers:

weight      every weight is a unit
n:m         every weight is a unit, n of m consecutive ones along the input axis are kept
block RxC   R output units by C input units
neuron      a feed-forward neuron: its rows of the up-projections and its column of the down-projection
head        an attention head: its rows of query, key and value, its columns of the output

`neuron` and `head`, whose removal makes a smaller dense model, leave all other tensors dense and out of the
mask. Biases are not masked; an export that removes a neuron or head drops its biases with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rpmask.errors import RpmaskError

TYPED = 1e-4  # of a sparsity that is typed with a few digits
MOST_LISTED = 8  # possible sparsities in a message


@dataclass(frozen=True)
class Granularity:
    """A parsed granularity; `first` and `second` are n and m, or the rows and columns of a block."""

    kind: str
    first: int = 1
    second: int = 1


def parse_granularity(text: str) -> Granularity:
    """Read `weight`, `2:4`, `block 4x4`, `neuron` or `head`."""
    if text in ("weight", "neuron", "head"):
        return Granularity(text)
    if found := re.fullmatch(r"(\d{1,4}):(\d{1,4})", text):
        kept, size = int(found[1]), int(found[2])
        if not 0 < kept < size:
            raise RpmaskError(
                f"The granularity '{text}' keeps {kept} of {size}.", "Write it like 2:4: n below m."
            )
        return Granularity("n:m", kept, size)
    if found := re.fullmatch(r"block (\d{1,6})x(\d{1,6})", text):
        rows, columns = int(found[1]), int(found[2])
        if rows < 1 or columns < 1:
            raise RpmaskError(
                f"The granularity '{text}' has an empty block.", "Write it like 'block 4x4'."
            )
        return Granularity("block", rows, columns)
    raise RpmaskError(
        f"There is no granularity '{text}'.",
        "Choose weight, n:m (like 2:4), 'block RxC' (like 'block 4x4'), neuron or head.",
    )


def at_sparsity(text: str, sparsity: float) -> str:
    """The granularity of a mask on the way to one of this granularity: of 2:4, 3:4 at 25 %."""
    granularity = parse_granularity(text)
    if granularity.kind != "n:m":
        return text
    size = granularity.second
    kept = round(size * (1.0 - sparsity))
    if not 0 < kept < size or abs(kept - size * (1.0 - sparsity)) > TYPED * size:
        raise RpmaskError(
            f"With granularity {text}, a sparsity of {sparsity:g} keeps no whole number of every {size} "
            "weights.",
            f"Possible are {', '.join(f'{dropped / size:g}' for dropped in range(1, size))}."
            if size <= MOST_LISTED
            else f"Possible are multiples of 1/{size}.",
        )
    return f"{kept}:{size}"


def group_sparsity(text: str) -> float | None:
    """The sparsity that N of every M weights fix; None for other granularities."""
    granularity = parse_granularity(text)
    return 1.0 - granularity.first / granularity.second if granularity.kind == "n:m" else None


def exact_sparsity(text: str, sparsity: float) -> float:
    """A sparsity as typed, or of N:M what it stands for: two thirds for 0.6667 and 1:3."""
    exact = group_sparsity(at_sparsity(text, sparsity))
    return sparsity if exact is None else exact
