"""Find out by trial whether this machine trains faster in bfloat16 than in float32."""

from __future__ import annotations

import json
import platform
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rpmask.errors import RpmaskError
from rpmask.files import write_whole

# Rows, tokens and width of the timed layer. On a CPU those of a small encoder; larger ones gain more. A GPU
# needs enough work that its products take the time, and not their launches.
SHAPES = {"cpu": (8, 32, 384), "cuda": (32, 128, 768)}
WORTH_IT = 1.1  # a smaller gain is within the noise of the trial


def check_precision(precision: str) -> None:
    """Refuse fp16 without a CUDA device, before anything is loaded or trained."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise RpmaskError(
            "--precision fp16 needs a CUDA device, and this machine has none.",
            "Use --precision bf16, or auto, which uses it where it is faster.",
        )


def faster_precision() -> str:
    """`bf16` where it is clearly faster, else `fp32`."""
    return "bf16" if bf16_speed() > WORTH_IT else "fp32"


def remembered_precision(folder: Path) -> str:
    """`faster_precision`, tried once per machine, so that a resumed command gets the same answer."""
    path = folder / "precision.json"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    machine = f"{platform.node()} {device} torch {torch.__version__}"
    try:
        known = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        known = {}
    if known.get(machine) not in ("bf16", "fp32"):
        known[machine] = faster_precision()
        write_whole(path, json.dumps(known, indent=1).encode())
    return str(known[machine])


def bf16_speed() -> float:
    """Speed of bf16 training steps over fp32 ones, median of interleaved repeats.

    It times a whole step of one layer, because casts, norms and the optimizer gain nothing from bf16.
    Attention is the implementation that a training uses in either precision (`train/attention.py`).
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, tokens, width = SHAPES[device]
    layer = nn.TransformerEncoderLayer(
        width, 12, 4 * width, dropout=0.1, activation="gelu", batch_first=True
    ).to(device)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-4, fused=True)
    inputs = torch.randn(rows, tokens, width, device=device)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for repeat in range(7):
        for narrow, times in seconds.items():
            started = time.perf_counter()
            plain = sdpa_kernel(SDPBackend.MATH) if narrow and device == "cpu" else nullcontext()
            with torch.autocast(device, torch.bfloat16, enabled=narrow), plain:
                loss = layer(inputs).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            if repeat > 1:
                times.append(time.perf_counter() - started)
    median = {narrow: sorted(times)[len(times) // 2] for narrow, times in seconds.items()}
    return median[False] / median[True]
