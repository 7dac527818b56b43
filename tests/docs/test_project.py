"""`mlflow run .`: every entry point's command line, with conda, in the virtual environment, with uv."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Running
from mlflow import MlflowClient
from typer.main import get_command

from rpmask.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
ENTRIES: dict[str, Any] = PROJECT["entry_points"]
# What every option may be given in a test: a value of its own, so that none passes by default.
OTHER = {
    "task": "digits",
    "model": "./somewhere",
    "levels": "0.5,0.8",
    "recipe": "paper",
    "take": "best",
    "start": "random",
    "format": "csv",
    "grid": "2x16",
}


def run_project(
    entry: str, folder: Path, *options: str, path: str | None = None, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """`mlflow run .` with a store of its own."""
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {
        "PATH": f"{path}{os.pathsep}{own}" if path else own,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    command = ["run", str(ROOT), "-e", entry, *options]
    return Running(command, folder, env, module="mlflow").finish(timeout)


def parsed(words: list[str]) -> dict[str, Any]:
    """What `python -m rpmask ...` takes for each option, by the option's name."""
    assert words[:3] == ["python", "-m", "rpmask"]
    command = get_command(app).commands[words[3]]
    values = command.make_context(words[3], words[4:]).params
    names = {parameter.name: parameter.opts for parameter in command.params}
    return {
        option.strip("-").replace("-", "_"): value
        for name, value in values.items()
        for option in names[name]
    }


def another(name: str, default: object) -> str:
    """A value that is not the default."""
    if name in OTHER:
        return OTHER[name]
    return str(float(default) / 2) if isinstance(default, float) else "7"


def same(value: object, text: object) -> bool:
    return (
        str(value) == str(type(value)(text))
        if isinstance(value, (int, float, Path))
        else value == text
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_command_takes_every_parameter(entry: str) -> None:
    """Filled in with other values than the defaults, the command parses to exactly these."""
    declared = ENTRIES[entry]["parameters"]
    given = {name: another(name, about["default"]) for name, about in declared.items()}
    found = parsed(shlex.split(ENTRIES[entry]["command"].format(**given)))
    assert {name: found[name] for name in given if not same(found[name], given[name])} == {}


@pytest.mark.parametrize("entry", ENTRIES)
def test_defaults_are_the_programs(entry: str) -> None:
    own = parsed(shlex.split(ENTRIES[entry]["command"])[:4])
    for name, about in ENTRIES[entry]["parameters"].items():
        # `auto` is what a project says for nothing given; the others a verb finds out for itself.
        if about["default"] != "auto" and name not in ("levels", "format", "workers", "out"):
            assert same(own[name], about["default"]), name


def test_pins_are_the_constraints() -> None:
    pins = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))["dependencies"]
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    listed = next(entry["pip"] for entry in pins if isinstance(entry, dict))
    assert [pin for pin in listed if pin.lower() not in tested] == []
    needed = re.findall(
        r'^  "([\w-]+)>=', (ROOT / "pyproject.toml").read_text().split("[project.optional")[0], re.M
    )
    assert {name.lower() for name in needed} == {pin.partition("==")[0].lower() for pin in listed}


def test_plain_command_asks_conda_for_our_environment(tmp_path: Path) -> None:
    """A stand-in for conda writes down what MLflow asks of it, and refuses to make anything."""
    asked = tmp_path / "asked"
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    conda.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n'
        'case "$1 $2" in "env list") echo \'{"envs": []}\';; "env create") exit 3;; esac\n'
    )
    conda.chmod(conda.stat().st_mode | stat.S_IXUSR)
    done = run_project("main", tmp_path, "-P", "task=rte", path=str(conda.parent))
    assert done.returncode != 0
    create = next(line for line in asked.read_text().splitlines() if line.startswith("env create"))
    assert str(ROOT / "conda.yaml") in create


def test_an_option_the_project_does_not_list_reaches_the_program(tmp_path: Path) -> None:
    done = run_project("main", tmp_path, "-P", "sparsity=2", "--env-manager", "local")
    assert done.returncode != 0
    assert "sparsity level 2 is not between 0 and 1" in done.stderr + done.stdout


def test_step_attaches_to_the_projects_run(tmp_path: Path) -> None:
    options = ["-P", "k=2", "-P", "temperature=0.3", "--env-manager", "local"]
    done = run_project("sample", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs(["0"])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "sample demo 93.75% k=2"
    assert run.data.params["temperature"] == "0.3"
    assert client.list_artifacts(run.info.run_id, "charts")


def test_a_run_file_gives_the_project_its_options(tmp_path: Path) -> None:
    """Flags too, which -P cannot pass; a parameter that is given beside it wins."""
    options = {
        "one-shot": True,
        "sparsity": 0.9,
        "k": 3,
        "train-rows": 64,
        "selection-rows": 32,
        "examples": 16,
        "calibration-rows": 8,
        "epochs": 0.2,
        "threads": 1,
        "full": True,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(options))
    given = ("-P", f"config={tmp_path}/run.yaml", "-P", "k=2", "--env-manager", "local")
    done = run_project("main", tmp_path, *given)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = {run.info.run_name: run for run in client.search_runs(["0"])}
    assert {"run demo to 90%", "sample demo 90% k=2", "finetune demo 90%"} <= set(runs)
    whole = runs["run demo to 90%"]
    path = client.download_artifacts(whole.info.run_id, "run.yaml", str(tmp_path))
    kept = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    assert {name: kept[name] for name in options} == {**options, "k": 2}


@pytest.mark.slow
def test_uv_makes_the_environment_and_runs_every_step(tmp_path: Path) -> None:
    """conda.yaml honoured by uv: the packages come from the index, so this one needs a network."""
    if (
        shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        is None
    ):
        pytest.skip("no uv here: pip install uv")
    small: dict[str, list[str]] = {
        "sample": ["k=2"],
        "screen": ["budget=0.1", "threads=1"],
        "select": ["take=best"],
        "finetune": ["epochs=0.2", "threads=1"],
        "jackpot": ["epochs=1", "threads=1"],
        "report": [],
    }
    for entry, parameters in small.items():
        given = [word for parameter in parameters for word in ("-P", parameter)]
        done = run_project(entry, tmp_path, *given, "--env-manager", "uv", timeout=1800)
        assert done.returncode == 0, f"{entry}\n{done.stdout}\n{done.stderr}"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    steps = {run.data.tags.get("rpmask.step") for run in client.search_runs(["0"])}
    assert set(small) <= steps
