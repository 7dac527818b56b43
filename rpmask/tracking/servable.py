"""An export as an MLflow model that `mlflow models serve` answers from, whatever its form.

The model is code (served.py) and the export as its artifact; the package's own code travels along, so
that an environment built from its requirements needs no rpmask from anywhere.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature, infer_signature

import rpmask
from rpmask.deploy.manifest import FILE, Manifest, read_manifest
from rpmask.logs import hushed
from rpmask.tracking.registry import fetch, requirement
from rpmask.tracking.runs import StepRun
from rpmask.tracking.tracker import Tracker

ARTIFACT = "export"
CODE = Path(__file__).with_name("served.py")
PACKAGES = ("torch", "transformers", "safetensors", "accelerate", "numpy", "scipy", "pandas")
OF_ONNX = ("onnxruntime",)


def log_export(step: StepRun, folder: Path, manifest: Manifest) -> str:
    """Log the folder as a model of this run; its address. Images are logged as files only."""
    if manifest.inputs != "text":
        step.log_folder(folder)
        return ""
    packages = (*PACKAGES, *(OF_ONNX if manifest.form == "onnx" else ()))
    # MLflow says where the model went, which the step says itself.
    with step.current(), tempfile.TemporaryDirectory() as temporary, hushed():
        info = mlflow.pyfunc.log_model(
            name=ARTIFACT,
            python_model=str(CODE),
            artifacts={ARTIFACT: str(folder.resolve())},
            code_paths=[str(_code(Path(temporary)))],
            signature=_signature(manifest),
            pip_requirements=[requirement(package) for package in packages],
            metadata={"rpmask": rpmask.__version__, "form": manifest.form},
        )
    return f"models:/{info.model_id}"


def copy_export(tracker: Tracker, run_id: str, uri: str, folder: Path) -> None:
    """The export that a run logged, as a new folder: from its model, or of images from its files."""
    if uri:
        shutil.copytree(next((Path(fetch(tracker, uri)) / "artifacts").iterdir()), folder)
        return
    kept = tracker.artifacts.path(run_id, FILE).parent
    for name in (FILE, *read_manifest(kept).files):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tracker.artifacts.path(run_id, name), place)


def _code(folder: Path) -> Path:
    """The package without the demo's data."""
    source = Path(rpmask.__file__).parent
    only_code = shutil.ignore_patterns("__pycache__", "demo", "digits")
    return Path(shutil.copytree(source, folder / "rpmask", ignore=only_code))


def _signature(manifest: Manifest) -> ModelSignature:
    example = pd.DataFrame({"text": ["The mask was drawn."]})
    if manifest.pair:
        example["text_pair"] = ["Something was drawn."]
    answer = pd.DataFrame({"score": [0.5]})
    if manifest.kind == "classification":
        answer.insert(0, "label", ["0"])
    return infer_signature(example, answer)
