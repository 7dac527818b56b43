"""One model under every runtime of this machine, for `bench`; what is absent is named with the reason."""

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
    """What can be timed, how much memory each took to get ready, and what is absent and why."""

    answers: dict[str, Answer] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class Absent(Exception):
    """A runtime that this machine or this model does not have."""


def runtimes_of(model: nn.Module, example: Batch, work: Path) -> Runtimes:
    """Every runtime, ready and warmed up on the example; files it needs are written to `work`."""
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
            onnx.write(model, example, work / onnx.FILE)  # apart, for it takes memory of its own
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
    """Why a runtime is absent: runtimes refuse a model with exceptions of every kind."""
    if isinstance(error, (Absent, RpmaskError)):
        return str(error)
    return f"it does not run this model ({first_line(error)})"


def called(model: nn.Module) -> Answer:
    """A module as a function from a batch to fp32 logits."""

    def answer(batch: Batch) -> torch.Tensor:
        return model(**batch).logits.float()

    return answer


def _int8(model: nn.Module) -> nn.Module:
    """Linear layers with int8 weights, inputs quantized as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated in favour of another package
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
