"""What this machine can train with: whether bfloat16 is faster than float32, found out by trying."""

from __future__ import annotations

import time

import torch

from rpmask.errors import RpmaskError

PRODUCT = (512, 384, 1536)  # rows, inputs, outputs of one feed-forward product of a small encoder
WORTH_IT = 1.1  # a smaller gain is within the noise of the trial


def check_precision(precision: str) -> None:
    """Refuse fp16 where its products are not to be had, before anything is loaded or trained."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise RpmaskError(
            "fp16 is asked for, and there is no CUDA device to train with it on.",
            "Use --precision bf16, or auto, which takes it where it is faster.",
        )


def faster_precision() -> str:
    """`bf16` where it is clearly faster, else `fp32`."""
    return "bf16" if bf16_speed() > WORTH_IT else "fp32"


def bf16_speed() -> float:
    """Speed of a bf16 matrix product over fp32, median of interleaved repeats."""
    rows, inputs, outputs = PRODUCT
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for repeat in range(12):
        for kind, times in seconds.items():
            a = torch.randn(rows, inputs, device=device).to(kind)
            b = torch.randn(inputs, outputs, device=device).to(kind)
            started = time.perf_counter()
            for _ in range(4):
                (a @ b).sum().item()
            if repeat > 1:
                times.append(time.perf_counter() - started)
    median = {kind: sorted(times)[len(times) // 2] for kind, times in seconds.items()}
    return median[torch.float32] / median[torch.bfloat16]
