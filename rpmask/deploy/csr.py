"""Form `csr`: the packed file, and which of its matrices are multiplied as CSR.

Whether a sparse product is faster depends on the matrix, the number of input rows (batch times tokens), the
processor and its threads. So each kind of matrix is timed both ways at the rows in ROWS, and CSR is used up
to the largest number of rows at which it was faster there and at every smaller number. If that is the last
of ROWS, longer inputs are split into pieces of that length; otherwise they are multiplied densely. A matrix
that CSR never makes faster stays an ordinary layer.
"""

from __future__ import annotations

import platform
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from rpmask.deploy.measure import interleaved
from rpmask.masks.mask import Mask
from rpmask.masks.weights import base_of

ROWS = (8, 32, 128, 512, 1024)
CLEARLY = 1.1  # a smaller gain may be noise
REPEATS = 7
DENSITIES = 0.02  # matrices of one shape whose densities differ by less are timed once


class CsrLinear(nn.Module):
    """A linear layer that multiplies inputs of up to `most` rows by a CSR weight."""

    def __init__(self, linear: nn.Linear, most: int) -> None:
        super().__init__()
        self.bias: torch.Tensor | None
        self.csr: torch.Tensor
        self.dense: torch.Tensor | None
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.most = most
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())
        self.register_buffer("csr", as_csr(linear.weight.detach()), persistent=False)
        # The dense weight is kept only if long inputs are multiplied densely.
        dense = None if most >= ROWS[-1] else linear.weight.detach()
        self.register_buffer("dense", dense, persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs (..., in) -> (..., out)."""
        flat = inputs.reshape(-1, self.in_features)
        if flat.shape[0] <= self.most:
            found = self._sparse(flat)
        elif self.dense is not None:
            found = nn.functional.linear(flat, self.dense, self.bias)
        else:
            found = torch.cat([self._sparse(piece) for piece in flat.split(self.most)])
        return found.reshape(*inputs.shape[:-1], self.out_features)

    def _sparse(self, flat: torch.Tensor) -> torch.Tensor:
        columns = flat.t().contiguous()  # (in, rows), the kernel's layout
        if self.bias is None:
            return (self.csr @ columns).t()
        start = self.bias[:, None].expand(-1, flat.shape[0])
        return torch.addmm(start, self.csr, columns).t()


def as_csr(weight: torch.Tensor) -> torch.Tensor:
    """The matrix as CSR with 32-bit indices, which the kernels take without conversion."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        found = weight.to_sparse_csr()
    rows, columns = found.crow_indices().int(), found.col_indices().int()
    return torch.sparse_csr_tensor(
        rows, columns, found.values(), found.shape, check_invariants=False
    )


def machine() -> str:
    """What a measurement is valid for: processor, threads, torch."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(errors="replace"))
        name = found[1].strip() if found else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def choose_routes(
    model: nn.Module, mask: Mask, *, rows: Sequence[int] = ROWS, repeats: int = REPEATS
) -> dict[str, int]:
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
        most = _faster_up_to(_layer(model, densest), rows, repeats)
        routes.update(dict.fromkeys(names, most))
    return dict(sorted(routes.items()))


def install(model: nn.Module, routes: Mapping[str, int]) -> nn.Module:
    """Replace the layers that the routes name with CSR layers."""
    base = base_of(model)
    for name, most in routes.items():
        path, _, _ = name.rpartition(".")
        layer = base.get_submodule(path)
        if most > 0 and isinstance(layer, nn.Linear):
            base.set_submodule(path, CsrLinear(layer, most))
    return model


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
