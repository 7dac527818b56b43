"""Two processes train together: one run, one version, one answer, and the mask on every rank."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import forkserver
import pytest
from commands import answer, clean_environment, fork_server
from mlflow import MlflowClient

from rpmask.masks.masked import MaskHold
from rpmask.masks.packed_format import load_mask
from rpmask.tasks.registry import get_spec
from rpmask.train.models import load_classifier

TRAIN = ["finetune", "--threads", "1", "--set", "max_steps=4", "--set", "logging_steps=1", "--json"]


def torchrun(
    arguments: list[str], folder: Path, *, cold: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command in two processes, which a fork server starts unless they are to start cold."""
    fork = [sys.executable, forkserver.__file__]
    run = [sys.executable, "-m"] if cold else fork
    command = ["-m", "rpmask"] if cold else ["--no_python", *fork, "rpmask"]
    return subprocess.run(
        [*run, "torch.distributed.run", "--nproc_per_node", "2", *command, *arguments],
        cwd=folder,
        env={**clean_environment(), forkserver.VARIABLE: fork_server(clean_environment()).address},
        capture_output=True,
        text=True,
        timeout=300,
    )


def the_answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert len(done.stdout.splitlines()) == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a selection, made as always by one process."""
    folder = tmp_path_factory.mktemp("selected")
    rows = ["--train-rows", "256", "--selection-rows", "100", "--calibration-rows", "8"]
    answer(["sample", "--sparsity", "0.9", "--k", "2", *rows], folder)
    short = ["--examples", "40", "--budget", "0.1", "--twins", "0", "--race-refit", "0"]
    answer(["screen", "--threads", "1", *short], folder)
    return folder, answer(["select"], folder)


@pytest.fixture(scope="module")
def trained(chosen: tuple[Path, dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    return chosen[0], the_answer(torchrun(TRAIN, chosen[0], cold=True))


def store(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def finetunes(client: MlflowClient) -> list[Any]:
    experiment = client.get_experiment_by_name("rpmask")
    query = "tags.`rpmask.step` = 'finetune'"
    return list(client.search_runs([experiment.experiment_id], query))


def test_two_processes_make_one_run_and_one_version(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, result = trained
    client = store(folder)
    (run,) = finetunes(client)
    assert run.info.run_id == result["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params["processes"] == "2"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
    versions = client.search_model_versions("name = 'rpmask-demo'")
    made = [int(version.version) for version in versions if version.run_id == run.info.run_id]
    assert made == [result["model"]["version"]]


def test_the_saved_model_is_trained_and_as_sparse_as_its_mask(
    chosen: tuple[Path, dict[str, Any]], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = trained
    client = store(folder)
    mask = load_mask(client.download_artifacts(result["run_id"], "mask.safetensors"))
    selection = client.download_artifacts(chosen[1]["run_id"], "selection.json")
    assert mask.digest == json.loads(Path(selection).read_text())["mask_digest"]
    task = get_spec("demo")
    # Folders of the store itself: the global tracking address belongs to other tests.
    source = client.get_model_version("rpmask-demo", str(result["model"]["version"])).source
    logged = client.get_logged_model(source.rpartition("/")[2])
    model = load_classifier(logged.artifact_location.removeprefix("file://"), task)
    assert MaskHold(model, mask).verify() <= mask.kept()
    dense = load_classifier("demo", task).state_dict()
    name = mask.names[0]
    kept = mask.keep(name)
    after = model.base_model.get_parameter(name)
    assert not after[kept].equal(dense[f"{model.base_model_prefix}.{name}"][kept])


def test_a_finished_training_is_used_again_by_both(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, first = trained
    again = the_answer(torchrun(TRAIN, folder))
    assert again["reused"]
    assert again["run_id"] == first["run_id"]
    assert len(finetunes(store(folder))) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--batch-size", "33"], "2 processes cannot share a batch of 33 rows equally"),
        (["--set", "no_such_thing=1"], "no_such_thing"),
    ],
    ids=["batch", "setting"],
)
def test_an_error_of_both_is_said_once(
    wrong: list[str], said: str, chosen: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(chosen[0], folder)
    done = torchrun([*TRAIN, *wrong], folder)
    assert done.returncode == 1  # torchrun's own, whatever its processes end with
    assert said in json.loads(done.stdout)["error"]
    assert said not in done.stderr
    statuses = [run.info.status for run in finetunes(store(folder))]
    assert [status for status in statuses if status != "FINISHED"] == ["FAILED"]
