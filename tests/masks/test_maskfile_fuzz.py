"""Twenty thousand damaged mask files: each is refused in the one way a user should see, or harmless."""

from __future__ import annotations

import random
from pathlib import Path

from masks.test_maskfile import RECIPE, some_mask

from rpmask.errors import RpmaskError
from rpmask.masks.maskfile import load_mask, save_mask

FILES = 20_000


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A copy with a few bits, bytes, digits or stretches changed, lost, doubled or moved."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(7):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place] = chance.randrange(256)
            case 2:
                del changed[place:]
            case 3:
                del changed[place : place + chance.randrange(1, 20)]
            case 4:
                changed[place:place] = chance.randbytes(chance.randrange(1, 20))
            case 5:
                stretch = changed[place : place + chance.randrange(1, 40)]
                other = chance.randrange(len(changed))
                changed[other : other + len(stretch)] = stretch
            case _:
                digits = [at for at, byte in enumerate(changed) if 48 <= byte <= 57]
                if digits:
                    changed[chance.choice(digits)] = chance.randrange(48, 58)
    return bytes(changed)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    whole, path, mask = tmp_path / "whole", tmp_path / "mask", some_mask()
    save_mask(mask, whole, RECIPE, {"task": "rte"})
    content, chance, refused = whole.read_bytes(), random.Random(0), 0
    for _ in range(FILES):
        # A new file each time: some file systems wait for the disk when one is overwritten.
        path.unlink(missing_ok=True)
        path.write_bytes(damaged(content, chance))
        try:
            found = load_mask(path)
        except RpmaskError:
            refused += 1
        else:
            # It was damaged where no bit of the mask depends on it.
            assert found == mask
    assert refused > 0.8 * FILES
