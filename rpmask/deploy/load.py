"""`rpmask.load(path)`: load an export of any form, or a plain Hugging Face folder.

model = rpmask.load("deploy/packed")
model.predict([("A man is cooking.", "Somebody cooks.")])
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from rpmask.deploy import compact, csr, csr_routes, dense, onnx, packed, semistructured
from rpmask.deploy.build import empty_model, fill
from rpmask.deploy.exported import Exported, load_reader, on_cpu, on_gpu
from rpmask.deploy.manifest import Manifest, export_in, open_export
from rpmask.errors import RpmaskError
from rpmask.heads.registry import head_of, head_of_config, recorded
from rpmask.masks.mask import Mask
from rpmask.train.model_place import locate
from rpmask.train.models import name_padding, readable

DEVICES = ("cpu", "cuda")


def load(
    path: str | Path,
    *,
    device: str = "cpu",
    max_length: int = Manifest.max_length,
    pair: bool | None = None,
) -> Exported:
    """Load an export, with a check of every byte; on a GPU, 2:4 matrices use its sparse kernels.

    max_length (tokens per text) and pair (whether the model reads pairs of texts, if known) are for a plain
    folder; an export states its own. No model is given more tokens than it has positions for.
    """
    if device not in DEVICES:
        raise RpmaskError(f"There is no device '{device}'.", f"Give one of {', '.join(DEVICES)}.")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RpmaskError(
            f"There is no folder '{path}'.", "Name a folder that `rpmask export` wrote."
        )
    export = export_in(folder)
    folder = export or folder
    manifest = plain(folder, max_length, pair) if export is None else open_export(export)
    found = _read(folder, _limited(folder, manifest))
    if device == "cuda":
        return _on_gpu(found)
    return found


def plain(path: Path, max_length: int = Manifest.max_length, pair: bool | None = None) -> Manifest:
    """The manifest of a model folder that is no export: one that save_pretrained or MLflow wrote."""
    from transformers import AutoConfig

    place = locate(str(path))
    try:
        config = AutoConfig.from_pretrained(place.weights)
    except (OSError, ValueError, KeyError) as error:
        raise RpmaskError(
            f"The configuration in {place.weights} cannot be read.",
            "It should be the config.json that save_pretrained writes.",
        ) from error
    head = head_of_config(config)
    kind, inputs = recorded(head)
    return Manifest(
        form="dense",
        task="",
        source=str(path),
        inputs=inputs,
        kind=kind,
        pair=pair,
        labels=head.answers.labels(config),
        max_length=max_length,
        standard=True,
    )


def _limited(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with max_length no larger than the model allows."""
    if not head_of(manifest).inputs.are_text:
        return manifest
    return replace(manifest, max_length=readable(str(folder), manifest.max_length))


def dense_module(found: Exported, folder: Path) -> nn.Module | None:
    """The model with every matrix dense and of full size; None for a form that does not hold it."""
    if found.manifest.form == "csr":
        return _unpacked(folder, found.manifest)[0]
    return found.module if found.manifest.form in ("packed", "dense") else None


def _read(folder: Path, manifest: Manifest) -> Exported:
    if manifest.form == "onnx":
        session = onnx.Session(folder / onnx.FILE)
        return Exported(manifest, load_reader(folder, manifest), session)
    model = _module(folder, manifest)
    return Exported(manifest, load_reader(folder, manifest), on_cpu(model), module=model)


def _module(folder: Path, manifest: Manifest) -> nn.Module:
    head = head_of(manifest)
    if manifest.form in ("packed", "csr"):
        model, mask = _unpacked(folder, manifest)
        if manifest.form == "packed":
            return model
        # A route measured on another machine, or with other threads, is not valid here.
        here = manifest.machine == csr_routes.machine()
        routes = manifest.routes if here else csr_routes.choose_routes(model, mask)
        return csr.install(model, routes)
    if manifest.form == "compact":
        return compact.read(folder, head, manifest.standard)
    found: Any = dense.read(Path(locate(str(folder)).weights), head)
    if head.inputs.are_text and not head.joins_rows:
        name_padding(found.config, str(folder))
    module: nn.Module = found
    return module


def _unpacked(folder: Path, manifest: Manifest) -> tuple[nn.Module, Mask]:
    state, mask = packed.read(folder / packed.FILE)
    return fill(empty_model(folder, head_of(manifest)), state, folder), mask


def _on_gpu(found: Exported) -> Exported:
    """Move the model to the GPU, in half precision."""
    module = found.module
    if module is None or found.manifest.form == "csr":
        raise RpmaskError(
            f"An export of the form '{found.manifest.form}' runs on the CPU only.",
            "Export it as packed or dense for a GPU.",
        )
    placed = semistructured.install(module)
    answer = on_gpu(module)
    return Exported(found.manifest, found.tokenizer, answer, module=module, sparse_kernels=placed)
