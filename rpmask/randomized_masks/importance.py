"""How much each weight matters: the centre that masks are drawn around.

magnitude    |w|
wanda        |w| * norm of what the weight's input unit receives
sparsegpt    w^2 / [H^-1] of the weight's input unit, H the Gram matrix of the layer's inputs
taylor       |w * gradient|, first order
fisher       w^2 * mean squared gradient, second order with a diagonal Fisher
true-fisher  the same, for labels drawn from the model's own answers
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import canonical_json
from rpmask.masks.arrays import Bools, Scores
from rpmask.masks.mask import Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, WeightSource, tensor_digest
from rpmask.records import IMPORTANCES

FORMAT = "rpmask.statistics"
INFINITY_BITS = int(np.float32(np.inf).view(np.uint32))


@dataclass(frozen=True, eq=False)
class Statistics:
    """The calibration statistics of one importance, by canonical name, and their digest.

    wanda and sparsegpt have one value per input unit; the others have the weight's shape. Those of several
    sub-steps (`substeps.py`) are the importances themselves, for weights that were refitted on the way: zero
    where a sub-step before the last dropped the weight.
    """

    kind: str
    tensors: Mapping[str, torch.Tensor]
    digest: str
    substeps: int = 1

    @classmethod
    def of(cls, kind: str, tensors: Mapping[str, torch.Tensor], substeps: int = 1) -> Statistics:
        """Take the values as float32 on the CPU and compute their digest."""
        check_kind(kind)
        own = {
            name: tensor.detach().to(device="cpu", dtype=torch.float32).contiguous()
            for name, tensor in tensors.items()
        }
        steps = f" {substeps}" if substeps > 1 else ""
        digest = hashlib.sha256(f"{FORMAT} {kind}{steps}\n".encode())
        for name in sorted(own):
            if not bool(torch.isfinite(own[name]).all()):
                raise _not_finite(f"The {kind} statistics", name)
            digest.update(canonical_json([name, list(own[name].shape)]).encode() + b"\n")
            digest.update(own[name].numpy().reshape(-1).view(np.uint8).data)
        return cls(kind, own, digest.hexdigest(), substeps)

    def save(self, path: str | Path) -> int:
        """Write as safetensors and return the size in bytes."""
        header = {"format": FORMAT, "kind": self.kind, "digest": self.digest}
        if self.substeps > 1:
            header["substeps"] = str(self.substeps)
        content = save(dict(self.tensors), metadata=header)
        write_whole(Path(path), content)
        return len(content)

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote and verify its digest."""
        try:
            with safe_open(path, framework="pt") as opened:
                header = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RpmaskError(
                f"{path} cannot be read as importance statistics: {error}.",
                "Run `rpmask sample` again to compute them anew.",
            ) from error
        if header.get("format") != FORMAT or header.get("kind") not in IMPORTANCES:
            raise RpmaskError(
                f"{path} holds no importance statistics.", "Give a file that `rpmask sample` wrote."
            )
        found = cls.of(header["kind"], tensors, int(header.get("substeps", 1)))
        if found.digest != header.get("digest"):
            raise RpmaskError(
                f"The statistics in {path} do not have the digest their header names.",
                "The file is damaged; run `rpmask sample` again to compute them anew.",
            )
        return found


def check_kind(kind: str) -> None:
    """Refuse an unknown importance."""
    if kind not in IMPORTANCES:
        raise RpmaskError(
            f"There is no importance '{kind}'.", f"Choose one of: {', '.join(IMPORTANCES)}."
        )


def score(
    kind: str,
    weight: torch.Tensor,
    statistic: torch.Tensor | None = None,
    *,
    tensor: Prunable | None = None,
    substeps: int = 1,
) -> Scores:
    """Importance of every weight: float32, not negative, finite, in the weight's shape.

    `tensor` names the weight in errors and says which axis holds the input units (wanda, sparsegpt). After
    several sub-steps the statistic is the importance.
    """
    check_kind(kind)
    tensor = tensor or Prunable("weight", tuple(weight.shape))
    # numpy, because torch would start its own threads inside every thread that draws a tensor.
    values = weight.detach().to(dtype=torch.float32).numpy()
    if kind == "magnitude":
        found = np.abs(values)
    elif statistic is None:
        raise RpmaskError(
            f"The importance '{kind}' of '{tensor.name}' needs statistics, and there are none.",
            "Compute them with `rpmask sample`, or use the importance 'magnitude'.",
        )
    elif substeps > 1:
        _check_shape(kind, tensor, statistic, values.shape)
        found = statistic.float().numpy()
    elif kind in ("wanda", "sparsegpt"):
        across = [1] * values.ndim
        across[tensor.input_axis] = tensor.inputs
        _check_shape(kind, tensor, statistic, (tensor.inputs,))
        with np.errstate(all="ignore"):  # overflow is refused below
            size = np.abs(values) if kind == "wanda" else np.square(values)
            found = size * statistic.float().numpy().reshape(across)
    else:
        _check_shape(kind, tensor, statistic, values.shape)
        gradient = statistic.float().numpy()
        with np.errstate(all="ignore"):
            found = np.abs(values * gradient) if kind == "taylor" else np.square(values) * gradient
    found = np.ascontiguousarray(found)
    # As unsigned integers floats of one sign keep their order, with infinity and NaN, and every
    # negative number, above the rest: one maximum checks them all.
    if found.size and int(found.view(np.uint32).max()) >= INFINITY_BITS:
        raise _not_finite(f"The {kind} importance", tensor.name)
    return found


def _check_shape(
    kind: str, tensor: Prunable, statistic: torch.Tensor, expected: tuple[int, ...]
) -> None:
    if tuple(statistic.shape) != expected:
        raise RpmaskError(
            f"The {kind} statistic of '{tensor.name}' has shape {tuple(statistic.shape)}, "
            f"expected {expected}.",
            "Compute the statistics with the model whose masks are drawn.",
        )


def _not_finite(what: str, name: str) -> RpmaskError:
    return RpmaskError(
        f"{what} of '{name}' has NaN, infinite or negative values.",
        "Check that the model's weights and its losses on the calibration set are finite.",
    )


@dataclass(eq=False)
class UnitReader:
    """Reads one bank's weights at a time, scores its units, and records each tensor's digest."""

    source: WeightSource
    statistics: Mapping[str, Statistics]
    parent: Mask | None = None
    digests: dict[str, str] = field(default_factory=dict)

    def scores(self, bank: Bank, kinds: Iterable[str]) -> dict[str, Scores]:
        """Importance of each unit of the bank, (units,), by kind: the sum over the unit's weights."""
        tensors = [tiling.tensor for tiling in bank.tilings]
        weights = {tensor.name: self.load(tensor) for tensor in tensors}
        found: dict[str, Scores] = {}
        for kind in kinds:
            given = self.statistics.get(kind)
            parts = {
                tensor.name: score(
                    kind,
                    weights[tensor.name],
                    given.tensors.get(tensor.name) if given else None,
                    tensor=tensor,
                    substeps=given.substeps if given else 1,
                )
                for tensor in tensors
            }
            found[kind] = bank.gather(parts).astype(np.float32, copy=False)
        return found

    def allowed(self, bank: Bank) -> Bools | None:
        """Which units the parent mask keeps, (units,); None where it restricts nothing.

        A tensor the parent does not cover is dense in it.
        """
        parent = self.parent
        names = [tiling.tensor.name for tiling in bank.tilings]
        if parent is None or not any(name in parent.bits for name in names):
            return None
        bools: dict[str, NDArray[np.bool_]] = {
            tiling.tensor.name: parent.keep(tiling.tensor.name).numpy()
            if tiling.tensor.name in parent.bits
            else np.ones(tiling.tensor.shape, np.bool_)
            for tiling in bank.tilings
        }
        counts = bank.gather(bools)
        whole: Bools = counts == bank.unit_weights
        if np.any(~whole & (counts > 0)):
            raise RpmaskError(
                f"The parent mask cuts through units of '{bank.name}'.",
                "A mask of blocks, neurons or heads needs a parent of the same granularity.",
            )
        return whole

    def load(self, tensor: Prunable) -> torch.Tensor:
        """One tensor, if its shape is the one in the list of prunable tensors."""
        weight = self.source.load(tensor.name)
        if tuple(weight.shape) != tensor.shape:
            raise RpmaskError(
                f"'{tensor.name}' has shape {tuple(weight.shape)}, expected {tensor.shape}.",
                "The weights are not those of this model.",
            )
        if tensor.name not in self.digests:
            self.digests[tensor.name] = tensor_digest(tensor.name, weight)
        return weight
