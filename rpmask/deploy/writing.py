"""Write an export, read it back, and compare its logits with those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from rpmask.deploy import compact, csr_routes, dense, onnx, packed, sparse_product
from rpmask.deploy.build import dense_bytes
from rpmask.deploy.exported import Exported
from rpmask.deploy.load import load
from rpmask.deploy.manifest import HUB, Check, Manifest, seal
from rpmask.errors import RpmaskError, RunFailed
from rpmask.heads.head import Head
from rpmask.heads.outputs import logits_of
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import save_mask
from rpmask.masks.weights import find_prunable
from rpmask.train.batches import real_rows

MASK_FILE = "mask.safetensors"
Batch = dict[str, torch.Tensor]

# Relative to the largest logit, or to 1 if that is larger: the effect of another order of arithmetic, and of
# rounding the weights.
TOLERANCES = {"packed": 1e-6, "dense": 1e-6, "csr": 1e-4, "compact": 1e-5, "onnx": 1e-4}
ROUNDING = {"fp32": 0.0, "fp16": 0.01, "bf16": 0.1, "int8": 0.2}


@dataclass(frozen=True)
class Source:
    """A model to export, its tokenizer, its mask, and real rows for the comparison with their labels."""

    model: Any
    tokenizer: Any
    mask: Mask | None
    batches: tuple[Batch, ...]
    labels: tuple[torch.Tensor, ...] = ()


def write_export(
    source: Source, folder: Path, described: Manifest, tolerance: float | None = None
) -> tuple[Manifest, Exported]:
    """Write an export and check it; return its manifest and the export as it was read back."""
    manifest = _write(source, folder, replace(described, note=""))
    notes = (manifest.note, described.note)
    manifest = replace(manifest, note="; ".join(note for note in notes if note))
    seal(folder, manifest)
    found = load(folder)
    limit = tolerance_of(manifest) if tolerance is None else tolerance
    check = compare(found, source.model, source.batches, limit, source.labels)
    return seal(folder, replace(manifest, check=check)), found


def tolerance_of(manifest: Manifest) -> float:
    """The largest accepted difference from the model's logits, relative to the largest logit."""
    return max(TOLERANCES[manifest.form], ROUNDING[manifest.values])


def compare(
    found: Exported,
    model: nn.Module,
    batches: Sequence[Batch],
    tolerance: float,
    labels: Sequence[torch.Tensor] = (),
) -> Check:
    """Compare the logits of the export and the model; RunFailed beyond the tolerance.

    With the labels of the batches, also compare the answers to their units.
    """
    model.eval()
    sizes, gaps, same = [], [], []
    for i, batch in enumerate(batches):  # one at a time: a vocabulary is wide
        with torch.inference_mode():
            raw = logits_of(model(**batch))
        made = found.logits(batch)
        expected, logits = (_answers(batch, each) for each in (raw, made))
        sizes.append(expected.abs().max())
        gaps.append((logits - expected).abs().max())
        if labels:
            same.append(_same_answers(found.head, made, raw, labels[i]))
    difference = float(torch.stack(gaps).max())
    known = [each for each in same if each is not None]
    check = Check(
        rows=sum(len(next(iter(batch.values()))) for batch in batches),
        max_abs_diff=difference,
        tolerance=tolerance * max(1.0, float(torch.stack(sizes).max())),
        same_answers=float(torch.cat(known).float().mean()) if known else None,
    )
    if not difference <= check.tolerance:  # also true for NaN
        raise RunFailed(
            f"The export does not answer as the model does: on {check.rows} rows logits differ by "
            f"up to {difference:.2g}, more than {check.tolerance:.2g}.",
            "Choose finer values (--values fp16 or fp32), or allow more with --tolerance.",
        )
    return check


def _same_answers(
    head: Head, ours: torch.Tensor, theirs: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor | None:
    """Whether both answer a unit with the same class: (units,); None for numbers."""
    units = [head.answers.units(SimpleNamespace(logits=each), labels) for each in (ours, theirs)]
    if units[0].logits.shape[-1] == 1:
        return None
    best, known = (each.logits.argmax(-1) for each in units)
    return best == known


def _answers(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
    """The logits of a batch, (answers, classes): of its rows, or of its tokens without padding."""
    return real_rows(logits.float(), batch.get("attention_mask"))


def mask_of_zeros(model: nn.Module) -> Mask:
    """The mask of the non-zero weights, over the tensors that may be pruned."""
    tensors = find_prunable(model)
    base = getattr(model, "base_model", model)
    weights = {tensor.name: base.get_parameter(tensor.name) for tensor in tensors}
    return Mask.from_bools({name: weight.detach() != 0 for name, weight in weights.items()})


def _write(source: Source, folder: Path, described: Manifest) -> Manifest:
    """Write the files of the form; the manifest with what is known afterwards."""
    model, form = source.model, described.form
    manifest = replace(described, dense_bytes=dense_bytes(model))
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    source.tokenizer.save_pretrained(folder)
    if form in ("packed", "csr"):
        mask = source.mask
        if mask is None:
            raise RpmaskError(
                f"This model has no mask, which the form '{form}' needs.",
                "Export it as dense or onnx.",
            )
        sizes = packed.write(model, mask, folder / packed.FILE, manifest.values)
        manifest = replace(
            manifest,
            mask_digest=mask.digest,
            masked_bytes=sum(sizes.stored.values()),
            masked_dense_bytes=sum(sizes.dense.values()),
        )
        return _routed(manifest, model, mask) if form == "csr" else manifest
    if form == "compact":
        cut, standard = compact.write(model, folder)
        return replace(manifest, standard=standard, note=str(cut))
    if form == "onnx":
        onnx.write(model, source.batches[0], folder / onnx.FILE)
        return replace(manifest, note=onnx.NOTE)
    dense.write(model, folder)
    manifest = replace(manifest, form="dense", standard=True)
    if form == HUB and source.mask is not None:
        save_mask(source.mask, folder / MASK_FILE)
        manifest = replace(manifest, mask_digest=source.mask.digest)
    return manifest


def _routed(manifest: Manifest, model: nn.Module, mask: Mask) -> Manifest:
    routes = csr_routes.choose_routes(model, mask)
    used = sum(most > 0 for most in routes.values())
    note = f"{used} of {len(routes)} matrices are faster as CSR on this machine"
    if missing := sparse_product.absent():
        note += f"; a compiled product would be faster, but {missing}"
    return replace(manifest, routes=routes, machine=csr_routes.machine(), note=note)
