"""Compress mask bits: Rice-code the gaps between kept weights, or store the packed bits if that is shorter.

With one weight in sixteen kept at random, gaps are geometric, and a Rice code (the upper part of a gap in
unary, the lower `b` bits unchanged) takes 0.343 bits per weight, where the entropy is 0.337. A tensor that is
mostly kept is coded by its dropped weights, one with structure by zlib. Unary parts and lower bits are two
separate bit strings, so that coding and decoding are a few numpy calls.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from rpmask.masks.mask import Bits

RAW, ZLIB, RICE, RICE_OF_DROPPED = "raw", "zlib", "rice", "rice-of-dropped"
MOST_LOW_BITS = 10
# The most packed bytes that one byte of code can stand for. A Rice code spends a unary bit on every 2^10
# weights, and deflate cannot do better than 1:1032.
MOST_EXPANSION = 1040
SLICES, SLICE = 4, 1024  # packed bytes that zlib is tried on first
GAIN = 0.98  # zlib must be this much shorter, because it is the slowest to read


class CodingError(ValueError):
    """The code does not decode to a tensor of the stated size."""


def encode(bits: Bits, total: int, kept: int) -> tuple[str, bytes]:
    """The name of the shortest coding of `total` packed bits with `kept` ones, and the code."""
    best, size = RAW, bits.size
    for name, ones in ((RICE, kept), (RICE_OF_DROPPED, total - kept)):
        expected = _expected_size(total, ones)
        if expected < size:
            best, size = name, expected
    if _deflates(bits, GAIN * size / max(1, bits.size)):
        code = zlib.compress(bits.data, 6)
        if len(code) < size:
            return ZLIB, code
    if best == RAW:
        return RAW, bits.tobytes()
    low = _low_bits(total, kept if best == RICE else total - kept)
    flags = np.unpackbits(bits, count=total).view(np.bool_)
    code = _rice(np.flatnonzero(flags if best == RICE else ~flags), total, low)
    return (best, code) if len(code) < bits.size else (RAW, bits.tobytes())


def decode(coding: str, code: bytes, total: int, kept: int) -> Bits:
    """The packed bits of a code; CodingError unless it has exactly `total` bits and `kept` ones."""
    size = (total + 7) // 8
    if not 0 <= kept <= total or size > MOST_EXPANSION * (len(code) + 1):
        raise CodingError(f"{len(code)} bytes cannot hold {kept} of {total} weights")
    if coding == RAW:
        bits = np.frombuffer(code, np.uint8)
    elif coding == ZLIB:
        bits = _inflated(code, size)
    elif coding in (RICE, RICE_OF_DROPPED):
        ones = kept if coding == RICE else total - kept
        places = _unrice(code, total, ones)
        flags = np.zeros(total, dtype=np.bool_)
        flags[places] = True
        bits = np.packbits(flags if coding == RICE else ~flags)
    else:
        raise CodingError(f"there is no coding '{coding}'")
    if bits.size != size:
        raise CodingError(f"{bits.size} bytes of bits, expected {size}")
    if total % 8 and bits[-1] & (0xFF >> total % 8):
        raise CodingError("the bits continue after the last weight")
    found = int(np.bitwise_count(bits).sum(dtype=np.int64))
    if found != kept:
        raise CodingError(f"{found} weights are kept, expected {kept}")
    return bits


def _low_bits(total: int, ones: int) -> int:
    """b, the number of low bits of a gap that are stored unchanged.

    With geometric gaps, b + 1 becomes better than b where the mean gap is 2.08 times 2^b. The arithmetic is
    in integers, because a reader must compute the same b.
    """
    return min(MOST_LOW_BITS, max(0, (24 * total // (25 * (ones + 1))).bit_length() - 1))


def _expected_size(total: int, ones: int) -> int:
    """Bytes of the Rice code if bits are independent."""
    low = _low_bits(total, ones)
    longer = (1.0 - (ones + 1) / (total + 1)) ** (1 << low)  # probability of one more unary bit
    upper = longer / (1.0 - longer) if longer < 1.0 else float(total >> low)
    return int((ones + 1) * (1 + low + min(upper, total >> low))) // 8 + 2


def _deflates(bits: Bits, share: float) -> bool:
    """Whether zlib compresses slices from all over the tensor below that share of their size."""
    sample = bits
    if bits.size > SLICES * SLICE:
        sample = bits[: bits.size // SLICES * SLICES].reshape(SLICES, -1)[:, :SLICE]
    return len(zlib.compress(sample.tobytes(), 1)) < share * sample.size


def _rice(ones: NDArray[np.intp], total: int, low: int) -> bytes:
    # The gap after the last one is coded too, so that decoding can check the total.
    gaps = np.diff(ones, prepend=-1, append=total) - 1  # (ones + 1,)
    ends = np.cumsum((gaps >> low) + 1) - 1  # where each unary number ends
    unary = np.zeros(int(ends[-1]) + 1, dtype=np.bool_)
    unary[ends] = True
    rest = ((gaps[:, None] >> np.arange(low)) & 1).astype(np.bool_)  # (ones + 1, low)
    return np.packbits(rest).tobytes() + np.packbits(unary).tobytes()


def _unrice(code: bytes, total: int, ones: int) -> NDArray[np.intp]:
    low = _low_bits(total, ones)
    size = ((ones + 1) * low + 7) // 8
    # There are as many unary ends as gaps, and the gaps must add up to the total.
    if len(code) < size + (ones + 8) // 8:
        raise CodingError(f"{len(code)} bytes are too few for {ones} gaps")
    read = np.frombuffer(code, np.uint8)
    ends = np.flatnonzero(np.unpackbits(read[size:]).view(np.bool_))
    if ends.size != ones + 1 or len(code) != size + int(ends[-1]) // 8 + 1:
        raise CodingError(f"{ends.size} gaps, expected {ones + 1}")
    gaps = (np.diff(ends, prepend=-1) - 1) << low
    rest = np.unpackbits(read[:size], count=(ones + 1) * low).reshape(ones + 1, low)
    for place in range(low):
        gaps += rest[:, place].astype(np.intp) << place
    ends = np.cumsum(gaps + 1) - 1
    if int(ends[-1]) != total:
        raise CodingError(f"the gaps add up to {int(ends[-1])} weights, expected {total}")
    return ends[:-1]


def _inflated(code: bytes, size: int) -> Bits:
    inflater = zlib.decompressobj()
    try:
        # One byte more than the size, so that a longer code is noticed without inflating it.
        content = inflater.decompress(code, size + 1)
    except zlib.error as error:
        raise CodingError(f"not deflated bits ({error})") from error
    if not inflater.eof or inflater.unused_data or inflater.unconsumed_tail:
        raise CodingError("deflated bits that are too short or too long")
    return np.frombuffer(content, np.uint8)
