"""Damaged mask files: each is refused with the error that a user should see, or is harmless."""

from __future__ import annotations

import random
from pathlib import Path

from faults.forms import short_or_long
from faults.mutations import mutated
from masks.test_packed_format import RECIPE, some_mask

from rpmask.errors import RpmaskError
from rpmask.masks.packed_format import load_mask, save_mask

FILES = short_or_long(500, 20_000)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    whole, path, mask = tmp_path / "whole", tmp_path / "mask", some_mask()
    save_mask(mask, whole, RECIPE)
    content, chance, refused = whole.read_bytes(), random.Random(0), 0
    for _ in range(FILES):
        # A new file each time: some file systems wait for the disk when one is overwritten.
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(content, chance))
        try:
            found = load_mask(path)
        except RpmaskError:
            refused += 1
        else:
            # It was damaged where no bit of the mask depends on it.
            assert found == mask
    assert refused > 0.8 * FILES
