"""OpenVINO, a runtime of dense models on CPUs, which `bench` compares if it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Compiled:
    """An ONNX graph that OpenVINO compiled for this processor, callable like a model."""

    def __init__(self, path: Path) -> None:
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._model: Any = openvino.Core().compile_model(str(path), "CPU", options)
        self.names = tuple(entry.get_any_name() for entry in self._model.inputs)

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits of a batch; inputs that the graph does not have are ignored."""
        fed = {name: np.ascontiguousarray(batch[name].numpy()) for name in self.names}
        return torch.from_numpy(np.array(self._model(fed)["logits"]))
