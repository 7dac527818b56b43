"""Compare timings fairly: calls take turns, so a slow minute affects all of them."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record

WARM = 2  # calls before the timed ones


@dataclass(frozen=True)
class Timing(Record):
    """Milliseconds of a call."""

    median_ms: float
    p95_ms: float
    repeats: int


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, repeats: int, seconds: float = float("inf")
) -> dict[str, Timing]:
    """Time calls in turns, at least three; no turn starts after `seconds`."""
    for call in calls.values():
        for _ in range(WARM):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    begun = time.perf_counter()
    for turn in range(repeats):
        if turn >= 3 and time.perf_counter() - begun > seconds:
            break
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1000.0 * (time.perf_counter() - start))
    return {
        name: Timing(float(np.median(found)), float(np.quantile(found, 0.95)), len(found))
        for name, found in times.items()
    }


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Let torch use this many threads inside the block."""
    if threads < 1:
        raise RpmaskError(f"The number of threads is {threads}.", "Give at least 1.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resident_bytes() -> int:
    """Memory that this process uses now; 0 if the system does not report it."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        return 0
    import resource

    gc.collect()
    # Freed memory counts until the C library returns it to the system; only glibc has a call for that.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(status.read_text().split()[1]) * resource.getpagesize()
