"""`export --to auto`: the form that answers fastest on this machine, found by timing them all."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import geometric_mean

from rpmask.deploy.bench import BenchRow, bench
from rpmask.deploy.runtimes import COMPACT, CSR, DENSE, ONNX, runtimes_of
from rpmask.deploy.writing import Batch, Source

# `packed` runs as the dense model does, and takes less room.
FORM_OF = {DENSE: "packed", CSR: "csr", COMPACT: "compact", ONNX: "onnx"}


def fastest_form(
    source: Source,
    shapes: Sequence[tuple[int, int]],
    seconds: float,
    left_out: Collection[str] = (),
) -> tuple[str, str]:
    """The form, and what was measured. A model without a mask has no packed form.

    left_out are the forms that cannot answer for this model.
    """
    example: Batch = source.batches[0]
    with tempfile.TemporaryDirectory() as work:
        timed = tuple(name for name, form in FORM_OF.items() if form not in left_out)
        found = runtimes_of(source.model, example, Path(work), timed)
        rows = bench(
            found,
            shapes,
            vocabulary=source.model.config.vocab_size,
            names=tuple(example),
            seconds=seconds,
        )
    speed = {name: _speed(rows, name) for name in found.answers}
    best = max(speed, key=speed.__getitem__)
    measured = ", ".join(f"{name} {value:.2f}x" for name, value in speed.items())
    form = "dense" if best == DENSE and source.mask is None else FORM_OF[best]
    over = ", ".join(f"{batch}x{tokens}" for batch, tokens in shapes)
    return form, f"chosen for its speed over {over}: {measured}"


def _speed(rows: Sequence[BenchRow], runtime: str) -> float:
    """How many times as fast as dense, on the geometric mean of the shapes."""
    return geometric_mean(row.speedup for row in rows if row.runtime == runtime)
