"""Damaged copies of a file's content, each the same for the same seed."""

from __future__ import annotations

import random


def mutated(content: bytes, chance: random.Random) -> bytes:
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
