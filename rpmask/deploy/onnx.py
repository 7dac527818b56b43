"""Form `onnx`: portable to any ONNX runtime. Sparsity makes it no faster.

Zeros are stored and multiplied like every other weight; only the runtime may be faster.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.deploy.build import check_file, first_line
from rpmask.deploy.manifest import damaged
from rpmask.errors import RpmaskError, RunFailed, install_hint
from rpmask.heads.outputs import logits_of

FILE = "model.onnx"
NOTE = "portable, not faster: ONNX runtimes multiply the zeros too"
OPSET = 18
WRITERS, READERS = ("onnx", "onnxscript"), ("onnxruntime",)
EXTRA = RpmaskError(
    "ONNX needs packages that are not installed.", f"Install them: {install_hint('onnx')}."
)


class _Logits(nn.Module):
    """The model with positional inputs, returning only the logits."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return logits_of(self.model(**dict(zip(self.names, inputs, strict=True))))


def installed(packages: tuple[str, ...]) -> bool:
    """Whether all of these packages can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def write(model: nn.Module, example: Mapping[str, torch.Tensor], path: Path) -> None:
    """Trace the model on an example batch; the graph takes any number of rows and tokens."""
    if not installed(WRITERS):
        raise EXTRA
    path.parent.mkdir(parents=True, exist_ok=True)
    names = tuple(example)
    # With a single row, the number of rows would become a constant of the graph.
    example = {name: torch.cat([value, value]) for name, value in example.items()}
    wrapped = _Logits(model.cpu().eval(), names).eval()
    rows = torch.export.Dim("rows", min=1)
    tokens = torch.export.Dim("tokens", min=1)
    shapes = tuple(
        {0: rows, 1: tokens} if value.ndim == 2 else {0: rows} for value in example.values()
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            torch.onnx.export(
                wrapped,
                tuple(example.values()),
                str(path),
                input_names=list(names),
                output_names=["logits"],
                dynamic_shapes=(shapes,),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise RunFailed(
            f"This model cannot be exported to ONNX: {first_line(error)}",
            "Export it as dense; the exporter of torch.onnx does not know one of its parts.",
        ) from error


class Session:
    """An ONNX Runtime session, callable like a model."""

    def __init__(self, path: Path) -> None:
        if not installed(READERS):
            raise EXTRA
        import onnxruntime

        check_file(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        # The runtime's exceptions have no other common base.
        except Exception as error:
            raise damaged(path, f"ONNX Runtime cannot read it ({first_line(error)})") from error
        self.names = tuple(entry.name for entry in self._session.get_inputs())

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits of a batch; inputs that the graph does not have are ignored."""
        fed = {name: np.ascontiguousarray(batch[name].numpy()) for name in self.names}
        return torch.from_numpy(self._session.run(["logits"], fed)[0])


def quantized(path: Path) -> Path:
    """A copy of the graph with int8 weights; the inputs of products are quantized as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path)
    del graph.graph.value_info[:]  # shapes inside the graph, which the quantizer finds anew
    made = path.with_suffix(".int8.onnx")
    quantize_dynamic(graph, made, weight_type=QuantType.QInt8)
    return made
