"""How much each weight matters: the centre that masks are drawn around.

magnitude    |w|
wanda        |w| * norm of what the weight's input unit receives
taylor       |w * gradient|, first order
fisher       w^2 * mean squared gradient, second order with a diagonal Fisher
true-fisher  the same, for labels drawn from the model's own answers
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import canonical_json
from rpmask.masks.weights import Prunable
from rpmask.records import IMPORTANCES

FORMAT = "rpmask.statistics"


@dataclass(frozen=True, eq=False)
class Statistics:
    """What an importance needs beside the weights, per canonical name, and its digest.

    wanda: one value an input unit. The others: the weight's shape.
    """

    kind: str
    tensors: Mapping[str, torch.Tensor]
    digest: str

    @classmethod
    def of(cls, kind: str, tensors: Mapping[str, torch.Tensor]) -> Statistics:
        """Take the values as float32 on the CPU and compute their digest."""
        check_kind(kind)
        own = {
            name: tensor.detach().to(device="cpu", dtype=torch.float32).contiguous()
            for name, tensor in tensors.items()
        }
        for name, tensor in own.items():
            if not bool(torch.isfinite(tensor).all()):
                raise _not_finite(f"The {kind} statistics", name)
        return cls(kind, own, _digest(kind, own))

    def save(self, path: str | Path) -> int:
        """Write as safetensors; the size in bytes."""
        header = {"format": FORMAT, "kind": self.kind, "digest": self.digest}
        content = save(dict(self.tensors), metadata=header)
        write_whole(Path(path), content)
        return len(content)

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote, and check that it is still that."""
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
        found = cls.of(header["kind"], tensors)
        if found.digest != header.get("digest"):
            raise RpmaskError(
                f"The statistics in {path} do not have the digest their header names.",
                "The file is damaged; run `rpmask sample` again to compute them anew.",
            )
        return found


def check_kind(kind: str) -> None:
    """Refuse an importance that does not exist."""
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
) -> torch.Tensor:
    """Importance of every weight: float32, not negative, finite, in the weight's shape.

    `tensor` names the weight in errors and says which axis holds the input units (wanda).
    """
    check_kind(kind)
    tensor = tensor or Prunable("weight", tuple(weight.shape))
    # numpy, because torch would wake its own threads inside every thread that draws a tensor.
    values = weight.detach().to(dtype=torch.float32).numpy()
    if kind == "magnitude":
        found = np.abs(values)
    elif statistic is None:
        raise RpmaskError(
            f"The importance '{kind}' of '{tensor.name}' needs statistics, and there are none.",
            "Compute them with `rpmask sample`, or use the importance 'magnitude'.",
        )
    elif kind == "wanda":
        axis = tensor.input_axis
        across = [1] * values.ndim
        across[axis] = values.shape[axis]
        _check_shape(kind, tensor, statistic, (values.shape[axis],))
        with np.errstate(all="ignore"):  # what overflows is refused below
            found = np.abs(values) * statistic.float().numpy().reshape(across)
    else:
        _check_shape(kind, tensor, statistic, values.shape)
        gradient = statistic.float().numpy()
        with np.errstate(all="ignore"):
            found = np.abs(values * gradient) if kind == "taylor" else np.square(values) * gradient
    found = np.ascontiguousarray(found)
    # As unsigned integers floats of one sign keep their order, with infinity and NaN, and every
    # negative number, above the rest: one maximum checks them all.
    if found.size and int(found.view(np.uint32).max()) >= _INFINITY:
        raise _not_finite(f"The {kind} importance", tensor.name)
    return torch.from_numpy(found)


_INFINITY = int(np.float32(np.inf).view(np.uint32))


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


def _digest(kind: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {kind}\n".encode())
    for name in sorted(tensors):
        digest.update(canonical_json([name, list(tensors[name].shape)]).encode() + b"\n")
        digest.update(tensors[name].numpy().reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
