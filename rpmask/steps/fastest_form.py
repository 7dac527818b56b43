"""`export --to auto`: the form that answers fastest on this machine, found by timing them all."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import geometric_mean

from rpmask.deploy.bench import BenchRow, bench, longest
from rpmask.deploy.runtimes import COMPACT, CSR, DENSE, ONNX, Runtimes, runtimes_of
from rpmask.deploy.writing import Source

SHAPES = ((1, 32), (1, 128))  # that an export is timed on; `bench` times others
SECONDS = 2.0
# `packed` runs as the dense model does, and takes less room.
FORM_OF = {DENSE: "packed", CSR: "csr", COMPACT: "compact", ONNX: "onnx"}


def timed(runtimes: Runtimes, source: Source) -> tuple[BenchRow, ...]:
    """Time runtimes of a model on the shapes that it takes."""
    config = source.model.config
    shapes = sorted({(batch, min(tokens, longest(config))) for batch, tokens in SHAPES})
    names = tuple(source.batches[0])
    return bench(runtimes, shapes, vocabulary=config.vocab_size, names=names, seconds=SECONDS)


def fastest_form(source: Source, left_out: Collection[str] = ()) -> tuple[str, str]:
    """The form, and what was measured. A model without a mask has no packed form.

    left_out are the forms that cannot answer for this model.
    """
    names = tuple(name for name, form in FORM_OF.items() if form not in left_out)
    with tempfile.TemporaryDirectory() as work:
        found = runtimes_of(source.model, source.batches[0], Path(work), names)
        rows = timed(found, source)
    speed = {name: _speed(rows, name) for name in found.answers}
    best = max(speed, key=speed.__getitem__)
    measured = ", ".join(f"{name} {value:.2f}x" for name, value in speed.items())
    form = "dense" if best == DENSE and source.mask is None else FORM_OF[best]
    over = ", ".join(dict.fromkeys(f"{row.batch}x{row.tokens}" for row in rows))
    return form, f"chosen for its speed over {over}: {measured}"


def _speed(rows: Sequence[BenchRow], runtime: str) -> float:
    """How many times as fast as dense, on the geometric mean of the shapes."""
    return geometric_mean(row.speedup for row in rows if row.runtime == runtime)
