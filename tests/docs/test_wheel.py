"""The wheel, installed in an environment of its own, works in an empty folder far from the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of an environment with the wheel; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "rpmask", source / "rpmask", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    plain = ["--no-deps", "--no-index"]
    run([*pip, "wheel", *plain, "--no-build-isolation", "-w", str(folder), str(source)], folder)
    (wheel,) = folder.glob("*.whl")
    place = folder / "env"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    run([*pip, "--python", str(python), "install", *plain, str(wheel)], folder)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place / "bin" / "rpmask"


def run(command: list[str], folder: Path) -> str:
    """What a command prints, with nothing of this clone on its path."""
    names = ("PATH", "HOME", "LANG")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_walk_far_from_the_clone(installed: Path, tmp_path: Path) -> None:
    rpmask, python = str(installed), str(installed.parent / "python")
    assert "rpmask 0.1.0" in run([rpmask, "--version"], tmp_path)
    few = ["--k", "2", "--train-rows", "128", "--selection-rows", "60", "--calibration-rows", "8"]
    drawn = run([rpmask, "sample", *few], tmp_path)
    assert "next:    rpmask screen --from" in drawn
    run([rpmask, "init", "--task", "digits", "--for", "jackpot"], tmp_path)
    assert "plan of jackpot" in run(
        [rpmask, "jackpot", "--config", "jackpot.yaml", "--threads", "1", "--plan"], tmp_path
    )
    told = run([rpmask, "doctor"], tmp_path)
    assert "repository" not in told
    assert "mlflow run ." not in told
    where = "import rpmask; from pathlib import Path; here = Path(rpmask.__file__); "
    code = where + "print(here, (here.parent / 'py.typed').is_file(), rpmask.sample.__name__)"
    found = run([python, "-c", code], tmp_path)
    assert found.startswith(str(installed.parent.parent))
    assert found.split()[1:] == ["True", "sample"]


def test_the_workflow_runs_what_ci_runs() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["ci"]["steps"]
    script = ROOT / steps[-1]["run"]
    assert script.is_file()
    assert os.access(script, os.X_OK)


def test_the_image_is_built_from_files_that_it_is_given() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists()
                assert f"!{name}" in kept
