"""Form `csr`: linear layers that multiply as CSR where that is faster (`csr_routes.py`)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from rpmask.deploy import sparse_product
from rpmask.masks.weights import base_of

ROWS = (8, 32, 128, 512, 1024)  # numbers of input rows at which a matrix is timed


class CsrLinear(nn.Module):
    """A linear layer that multiplies inputs of up to `most` rows by a CSR weight, for inference.

    If `most` is the last of ROWS, longer inputs are divided into pieces of that length. Otherwise they are
    multiplied densely.
    """

    def __init__(self, linear: nn.Linear, most: int) -> None:
        super().__init__()
        self.bias: torch.Tensor | None
        self.dense: torch.Tensor | None
        self.csr: torch.Tensor
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.most = most
        weight = linear.weight.detach()
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())
        self.register_buffer("dense", None if most >= ROWS[-1] else weight, persistent=False)
        found = as_csr(weight)
        self.matrix: sparse_product.Csr | None = None
        if sparse_product.fits(weight) and not sparse_product.absent():
            columns = found.col_indices().to(torch.uint16)
            self.matrix = sparse_product.Csr(
                found.crow_indices(), columns, found.values(), self.bias, self.in_features
            )
        else:
            self.register_buffer("csr", found, persistent=False)

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
        if self.matrix is not None:
            return sparse_product.multiply(self.matrix, flat)
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


def install(model: nn.Module, routes: Mapping[str, int]) -> nn.Module:
    """Replace the layers that the routes name with CSR layers."""
    base = base_of(model)
    for name, most in routes.items():
        path, _, _ = name.rpartition(".")
        layer = base.get_submodule(path)
        if most > 0 and isinstance(layer, nn.Linear):
            base.set_submodule(path, CsrLinear(layer, most))
    return model
