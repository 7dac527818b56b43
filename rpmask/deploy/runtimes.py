"""The runtimes of this machine for one model, which `bench` compares; absent ones have a reason."""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from rpmask.deploy import compact, csr, csr_routes, onnx, openvino, semistructured
from rpmask.deploy.build import first_line
from rpmask.deploy.exported import Answer, on_cpu, on_gpu
from rpmask.deploy.measure import resident_bytes
from rpmask.deploy.writing import Batch, mask_of_zeros
from rpmask.errors import RpmaskError

DENSE, CSR, COMPACT = "dense fp32", "csr", "compact"
ONNX, ONNX_INT8, OPENVINO = "ONNX Runtime", "ONNX Runtime int8", "OpenVINO"
ONNX_READERS = (ONNX, ONNX_INT8, OPENVINO)


@dataclass
class Runtimes:
    """Runtimes that can be timed, the memory each took to prepare, and why others are absent."""

    answers: dict[str, Answer] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class Absent(Exception):
    """The machine or the model does not have a runtime."""


def runtimes_of(
    model: nn.Module, example: Batch, work: Path, only: Sequence[str] | None = None
) -> Runtimes:
    """Prepare runtimes and run each once on the example; files are written to `work`.

    `only` names those that are wanted; by default, all.
    """
    makers = {name: make for name, make in MAKERS.items() if only is None or name in only}
    found = Runtimes()
    if onnx.installed(onnx.WRITERS) and not makers.keys().isdisjoint(ONNX_READERS):
        try:
            # Before the others, so that its own memory is not counted for the runtime.
            onnx.write(model, example, work / onnx.FILE)
        except Exception as error:
            why = reason_of(error)
            found.absent.update({name: why for name in ONNX_READERS if name in makers})
    gc.collect()
    gc.freeze()  # memory is measured after collections, which need not look at what was there before
    try:
        for name, make in makers.items():
            if name in found.absent:
                continue
            before = resident_bytes()
            try:
                answer = make(model, work)
                with torch.inference_mode():
                    answer(example)
            except Exception as error:
                if name == DENSE:
                    raise
                found.absent[name] = reason_of(error)
                continue
            found.answers[name] = answer
            found.memory[name] = max(0, resident_bytes() - before)
    finally:
        gc.unfreeze()
    return found


def reason_of(error: Exception) -> str:
    """Why a runtime is absent; runtimes raise exceptions of every kind."""
    if isinstance(error, (Absent, RpmaskError)):
        return str(error)
    return f"it does not run this model ({first_line(error)})"


def _int8(model: nn.Module) -> nn.Module:
    """The model with int8 weights in linear layers; inputs are quantized dynamically."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated; another package replaces it
        try:
            from torch.ao.quantization import quantize_dynamic

            found: nn.Module = quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
        except (ImportError, AttributeError, RuntimeError) as error:
            raise Absent(f"this torch cannot quantize dynamically ({error})") from error
    return found


def _csr(model: nn.Module) -> nn.Module:
    routes = csr_routes.choose_routes(model, mask_of_zeros(model))
    if not any(routes.values()):
        raise Absent("no matrix of this model is faster as CSR here")
    return csr.install(copy.deepcopy(model), routes)


def _compact(model: nn.Module) -> nn.Module:
    try:
        smaller: nn.Module = compact.shrink(model)[0]
    except RpmaskError as error:
        raise Absent("every neuron and head contributes to the logits") from error
    return smaller


def _onnx(work: Path, *, int8: bool) -> Answer:
    _need((*onnx.WRITERS, *onnx.READERS))
    path = work / onnx.FILE
    return onnx.Session(onnx.quantized(path) if int8 else path)


def _openvino(work: Path) -> Answer:
    _need((*onnx.WRITERS, "openvino"))
    return openvino.Compiled(work / onnx.FILE)


def _need(packages: tuple[str, ...]) -> None:
    missing = [name for name in packages if not onnx.installed((name,))]
    if missing:
        raise Absent(f"not installed: {', '.join(missing)}")


def _gpu(model: nn.Module, *, sparse: bool) -> Answer:
    if missing := semistructured.available():
        raise Absent(missing)
    there = copy.deepcopy(model)
    if not sparse:
        there.to(device="cuda", dtype=torch.float16)
    elif not semistructured.install(there):
        raise Absent("no matrix of this model is 2:4")
    return on_gpu(there)


# By name, in the order of the tables. Each maker takes the model, and the folder for its files.
MAKERS: Mapping[str, Callable[[nn.Module, Path], Answer]] = {
    DENSE: lambda model, _: on_cpu(copy.deepcopy(model)),
    "dense bf16": lambda model, _: on_cpu(copy.deepcopy(model).to(torch.bfloat16)),
    "dynamic int8": lambda model, _: on_cpu(_int8(model)),
    CSR: lambda model, _: on_cpu(_csr(model)),
    COMPACT: lambda model, _: on_cpu(_compact(model)),
    ONNX: lambda _, work: _onnx(work, int8=False),
    ONNX_INT8: lambda _, work: _onnx(work, int8=True),
    OPENVINO: lambda _, work: _openvino(work),
    "dense fp16 GPU": lambda model, _: _gpu(model, sparse=False),
    "2:4 GPU": lambda model, _: _gpu(model, sparse=True),
}

# Those that multiply zeros like any other number, and so gain nothing by pruning.
DENSE_RUNTIMES = frozenset(MAKERS) - {CSR, COMPACT, "2:4 GPU"}
