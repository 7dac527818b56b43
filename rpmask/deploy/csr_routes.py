"""Where CSR is faster than a dense product, measured on this machine.

That depends on the matrix, the number of input rows (batch times tokens), the processor and its threads. So
each kind of matrix is timed both ways at the rows in `csr.ROWS`, and its route is the largest number of rows
at which CSR was faster there and at every smaller number. Then whole forward passes are timed both ways over
SHAPES: routes end where the model as a whole is not faster.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy import sparse_product
from rpmask.deploy.csr import ROWS, CsrLinear
from rpmask.deploy.measure import interleaved
from rpmask.masks.mask import Mask
from rpmask.masks.weights import base_of
from rpmask.train.models import positions

CLEARLY = 1.1  # a smaller gain of one matrix may be noise
REPEATS = 7
SHAPES = ((1, 32), (1, 128), (8, 128))  # batch by tokens
SECONDS = 2.0  # of whole passes for each shape
DENSITIES = 0.02  # matrices of one shape whose densities differ by less are timed once


def machine() -> str:
    """What a measurement is valid for: processor, threads, torch, and the product that is used."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(errors="replace"))
        name = found[1].strip() if found else name
    product = "torch's CSR" if sparse_product.absent() else "compiled CSR"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {product}"


def choose_routes(model: nn.Module, mask: Mask) -> dict[str, int]:
    """The number of input rows up to which each masked linear layer is faster as CSR, by name; 0 is never."""
    kinds: dict[tuple[int, int, int], list[str]] = {}
    for name in mask.names:
        if isinstance(_layer(model, name), nn.Linear):
            outputs, inputs = mask.shape(name)
            density = mask.kept(name) / mask.total(name)
            kinds.setdefault((outputs, inputs, round(density / DENSITIES)), []).append(name)
    routes: dict[str, int] = {}
    for names in kinds.values():
        densest = max(names, key=lambda name: mask.kept(name) / mask.total(name))
        routes.update(dict.fromkeys(names, _faster_up_to(_layer(model, densest), ROWS, REPEATS)))
    most = _whole_faster_up_to(model, routes)
    return {name: min(route, most) for name, route in sorted(routes.items())}


def _layer(model: nn.Module, name: str) -> nn.Module:
    return base_of(model).get_submodule(name.rpartition(".")[0])


def _faster_up_to(layer: nn.Module, rows: Sequence[int], repeats: int) -> int:
    assert isinstance(layer, nn.Linear)
    sparse = CsrLinear(layer, max(rows))
    most = 0
    with torch.inference_mode():
        for count in rows:
            inputs = torch.randn(count, layer.in_features)
            calls = {"dense": partial(layer, inputs), "csr": partial(sparse, inputs)}
            times = interleaved(calls, repeats=repeats)
            if times["dense"].median_ms < CLEARLY * times["csr"].median_ms:
                break
            most = count
    return most


def _whole_faster_up_to(model: nn.Module, routes: Mapping[str, int]) -> int:
    """The number of input rows up to which the whole model is faster with these routes."""
    if not any(routes.values()):
        return 0
    training = model.training
    model.eval()
    most = 0
    try:
        with torch.inference_mode(), _both_ways(model, routes) as (dense, sparse, rows_seen):
            for batch, tokens in SHAPES:
                inputs = some_inputs(model, batch, tokens)
                calls = {"dense": partial(dense, inputs), "csr": partial(sparse, inputs)}
                times = interleaved(calls, repeats=REPEATS, seconds=SECONDS)
                if times["dense"].median_ms < times["csr"].median_ms:
                    return most
                most = rows_seen()
    finally:
        model.train(training)
    return ROWS[-1]


@contextmanager
def _both_ways(
    model: nn.Module, routes: Mapping[str, int]
) -> Iterator[tuple[Callable[..., Any], Callable[..., Any], Callable[[], int]]]:
    """The model's dense pass, its pass with the routes, and the input rows of the last pass."""
    base = base_of(model)
    layers = {
        name.rpartition(".")[0]: _layer(model, name) for name, most in routes.items() if most > 0
    }
    sparse = {
        path: CsrLinear(layer, routes[f"{path}.weight"])
        for path, layer in layers.items()
        if isinstance(layer, nn.Linear)
    }
    seen = [0]

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[0] = max(seen[0], inputs[0].numel() // inputs[0].shape[-1])

    def run(these: Mapping[str, nn.Module], inputs: Mapping[str, torch.Tensor]) -> object:
        for path, layer in these.items():
            base.set_submodule(path, layer)
        return model(**inputs)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers.values()]
    try:
        yield partial(run, layers), partial(run, sparse), lambda: seen[0]
    finally:
        for hook in hooks:
            hook.remove()
        for path, layer in layers.items():
            base.set_submodule(path, layer)


def some_inputs(model: Any, batch: int, tokens: int) -> dict[str, torch.Tensor]:
    """Random inputs; the time a model takes does not depend on what they are."""
    config = model.config
    if model.main_input_name == "pixel_values":
        size = config.image_size
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        return {"pixel_values": torch.randn(batch, config.num_channels, height, width)}
    tokens = min(tokens, positions(config) or tokens)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, config.vocab_size, (batch, tokens), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
