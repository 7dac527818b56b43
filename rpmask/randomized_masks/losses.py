"""Per-example losses of a race: the file that holds them, and the digest that proves them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from rpmask.errors import RpmaskError
from rpmask.records import ScreenReport


def losses_digest(losses: np.ndarray) -> str:
    """sha256 of per-example losses, which a rung's score names."""
    return hashlib.sha256(losses.tobytes()).hexdigest()


def read_losses(path: Path, report: ScreenReport | None = None) -> Mapping[int, np.ndarray]:
    """Each candidate's per-example losses at its last rung; with its record, those that it names."""
    try:
        arrays = safetensors.numpy.load_file(path)
        found = {int(name.removeprefix("candidate-")): array for name, array in arrays.items()}
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise RpmaskError(
            f"'{path.name}' cannot be read: {error}.", "Run `rpmask screen --force` again."
        ) from error
    for raced in (*report.candidates, *report.twins) if report is not None else ():
        said = raced.rungs[-1].losses_digest if raced.rungs else ""
        if said and (raced.index not in found or losses_digest(found[raced.index]) != said):
            raise RpmaskError(
                f"The losses of candidate {raced.index} in '{path.name}' are not those of the race.",
                "The file was damaged or swapped; run `rpmask screen --force` again.",
            )
    return found
