"""`doctor`: check what works on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from rpmask.errors import install_hint
from rpmask.steps.context import available_cores, versions
from rpmask.train.precision import WORTH_IT, bf16_speed


def examine() -> dict[str, Any]:
    """Return the checks with their findings, and the advice that follows from them."""
    checks: list[dict[str, Any]] = []
    advice: list[str] = []

    def found(name: str, what: object, ok: bool = True) -> None:
        checks.append({"name": name, "ok": ok, "found": str(what)})

    found("python", platform.python_version())
    for name, version in versions().items():
        if name not in ("python", "rpmask"):
            found(name, version)
    found("cores", available_cores())
    _devices(found, advice)
    _extras(found)
    _places(found, advice)
    _project(found, advice)
    return {"checks": checks, "advice": advice}


def _devices(found: Any, advice: list[str]) -> None:
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    found("CUDA device", device, torch.cuda.is_available())
    ratio = bf16_speed()
    found(
        "bf16 against fp32",
        f"{ratio:.2f} times the speed in a training step of one layer",
        ratio > 1,
    )
    advice.append(
        "bf16 is faster here: --precision auto uses it in screen, finetune and run."
        if ratio > WORTH_IT
        else "bf16 is no faster here: --precision auto stays with fp32."
    )


def _extras(found: Any) -> None:
    for extra, modules in {
        "ray": ("ray",),
        "onnx": ("onnx", "onnxscript", "onnxruntime"),
        "monitor": ("psutil",),
        "openvino": ("openvino",),
    }.items():
        there = all(importlib.util.find_spec(module) is not None for module in modules)
        found(f"extra '{extra}'", "installed" if there else install_hint(extra), there)


def _places(found: Any, advice: list[str]) -> None:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    found("free disk here", f"{free:.1f} GiB", free > 2)
    uri = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db in this folder")
    found("tracking", uri)
    glue = os.environ.get("RPMASK_GLUE_DIR")
    found("RPMASK_GLUE_DIR", glue or "not set", bool(glue) and Path(glue or "").is_dir())
    if not glue:
        advice.append(
            "GLUE tasks are read from RPMASK_GLUE_DIR (RTE/train.tsv, ...) when it is set, else "
            "from the hub."
        )


def _project(found: Any, advice: list[str]) -> None:
    if not Path("MLproject").is_file():
        return  # not in a clone: there is no project to run
    conda = shutil.which("conda") or shutil.which("mamba")
    found("conda (for `mlflow run .` as it stands)", conda or "not found", conda is not None)
    uv = shutil.which("uv")
    found("uv (for `mlflow run . --env-manager uv`)", uv or "not found", uv is not None)
    if conda is None:
        advice.append(
            "Without conda: `mlflow run . -P task=demo --env-manager local` inside the virtual "
            "environment, or `--env-manager uv`" + ("." if uv else " after `pip install uv`.")
        )
