"""The runtimes of this machine for one model, which `bench` compares; absent ones have a reason."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy import compact, csr, onnx, semistructured
from rpmask.deploy.build import first_line
from rpmask.deploy.exported import Answer
from rpmask.deploy.measure import resident_bytes
from rpmask.deploy.writing import Batch, mask_of_zeros
from rpmask.errors import RpmaskError

DENSE = "dense fp32"
NAMES = (
    DENSE,
    "dense bf16",
    "dynamic int8",
    "csr",
    "compact",
    "ONNX Runtime",
    "dense fp16 GPU",
    "2:4 GPU",
)


@dataclass
class Runtimes:
    """Runtimes that can be timed, the memory each took to prepare, and why others are absent."""

    answers: dict[str, Answer] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class Absent(Exception):
    """The machine or the model does not have a runtime."""


def runtimes_of(model: nn.Module, example: Batch, work: Path) -> Runtimes:
    """Prepare every runtime and run it once on the example; files are written to `work`."""
    makers: Mapping[str, Callable[[], Answer]] = {
        DENSE: lambda: called(copy.deepcopy(model)),
        "dense bf16": lambda: called(copy.deepcopy(model).to(torch.bfloat16)),
        "dynamic int8": lambda: called(_int8(model)),
        "csr": lambda: called(_csr(model)),
        "compact": lambda: called(_compact(model)),
        "ONNX Runtime": lambda: _onnx(work),
        "dense fp16 GPU": lambda: _gpu(model, sparse=False),
        "2:4 GPU": lambda: _gpu(model, sparse=True),
    }
    found = Runtimes()
    if onnx.installed((*onnx.WRITERS, *onnx.READERS)):
        try:
            # Before the others, so that its own memory is not counted for the runtime.
            onnx.write(model, example, work / onnx.FILE)
        except Exception as error:
            found.absent["ONNX Runtime"] = reason_of(error)
    for name, make in makers.items():
        if name in found.absent:
            continue
        before = resident_bytes()
        try:
            answer = make()
            with torch.inference_mode():
                answer(example)
        except Exception as error:
            if name == DENSE:
                raise
            found.absent[name] = reason_of(error)
            continue
        found.answers[name] = answer
        found.memory[name] = max(0, resident_bytes() - before)
    return found


def reason_of(error: Exception) -> str:
    """Why a runtime is absent; runtimes raise exceptions of every kind."""
    if isinstance(error, (Absent, RpmaskError)):
        return str(error)
    return f"it does not run this model ({first_line(error)})"


def called(model: nn.Module) -> Answer:
    """A function from a batch to fp32 logits."""

    def answer(batch: Batch) -> torch.Tensor:
        return model(**batch).logits.float()

    return answer


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
    routes = csr.choose_routes(model, mask_of_zeros(model))
    if not any(routes.values()):
        raise Absent("no matrix of this model is faster as CSR here")
    return csr.install(copy.deepcopy(model), routes)


def _compact(model: nn.Module) -> nn.Module:
    try:
        smaller: nn.Module = compact.shrink(model)[0]
    except RpmaskError as error:
        raise Absent("no neuron and no head contributes nothing") from error
    return smaller


def _onnx(work: Path) -> Answer:
    missing = [name for name in (*onnx.WRITERS, *onnx.READERS) if not onnx.installed((name,))]
    if missing:
        raise Absent(f"not installed: {', '.join(missing)}")
    return onnx.Session(work / onnx.FILE)


def _gpu(model: nn.Module, *, sparse: bool) -> Answer:
    if missing := semistructured.available():
        raise Absent(missing)
    there: Any = copy.deepcopy(model)
    if not sparse:
        there.to(device="cuda", dtype=torch.float16)
    elif not semistructured.install(there):
        raise Absent("no matrix of this model is 2:4")

    def answer(batch: Batch) -> torch.Tensor:
        inputs = {name: value.to("cuda") for name, value in batch.items()}
        return there(**inputs).logits.float().cpu()

    return answer
