"""An export as an MLflow model, whatever its form, that `mlflow models serve` can answer from.

The model is code (served.py) with the export as its artifact, and with the code of this package.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import mlflow

import rpmask
from rpmask.deploy.manifest import FILE, Manifest, read_manifest
from rpmask.heads.registry import head_of
from rpmask.logs import hushed
from rpmask.tracking.package_code import PACKAGES, copy_code
from rpmask.tracking.register_model import requirement, signature
from rpmask.tracking.registry import fetch
from rpmask.tracking.runs import StepRun
from rpmask.tracking.tracker import Tracker

ARTIFACT = "export"
CODE = Path(__file__).with_name("served.py")
ONNX_PACKAGES = ("onnxruntime",)


def log_export(step: StepRun, folder: Path, manifest: Manifest) -> str:
    """Log the export as a model of this run and return its address; an image model is logged as files."""
    head = head_of(manifest)
    if not head.inputs.are_text:
        step.log_folder(folder)
        return ""
    packages = (*PACKAGES, *(ONNX_PACKAGES if manifest.form == "onnx" else ()))
    # MLflow prints the model's address, which the step prints itself.
    with step.current(), tempfile.TemporaryDirectory() as temporary, hushed():
        info = mlflow.pyfunc.log_model(
            name=ARTIFACT,
            python_model=str(CODE),
            artifacts={ARTIFACT: str(folder.resolve())},
            code_paths=[str(copy_code(Path(temporary)))],
            signature=signature(
                head.inputs.columns(manifest.pair),
                head.answers.answer_columns(bool(manifest.labels)),
            ),
            pip_requirements=[requirement(package) for package in packages],
            metadata={"rpmask": rpmask.__version__, "form": manifest.form},
        )
    return f"models:/{info.model_id}"


def copy_export(tracker: Tracker, run_id: str, uri: str, folder: Path) -> None:
    """Copy an export out of a run to a new folder: from its logged model, or from its files for images."""
    if uri:
        shutil.copytree(next((Path(fetch(tracker, uri)) / "artifacts").iterdir()), folder)
        return
    logged = tracker.artifacts.path(run_id, FILE).parent
    for name in (FILE, *read_manifest(logged).files):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tracker.artifacts.path(run_id, name), place)
