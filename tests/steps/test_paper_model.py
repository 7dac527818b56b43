"""Without --model a text task starts from the paper's encoder, found in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import answer, clean_environment, rpmask
from mlflow import MlflowClient

from rpmask.tasks.builtin import demo_model_dir

ROOT = Path(__file__).parents[2]
NAME, COMMIT = "bert-base-uncased", "0123456789" * 4
ROWS = 48
SHORT = ["--levels", "0.9375", "--epochs", "1", "--k", "2", "--threads", "2"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A hub cache with a small encoder of the name, without a head, and RTE in the classic layout."""
    from transformers import AutoModel, AutoTokenizer

    cache, glue = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("glue")
    repository = cache / f"models--{NAME}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    AutoModel.from_pretrained(demo_model_dir()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(demo_model_dir()).save_pretrained(folder)
    (glue / "RTE").mkdir()
    for split, count in (("train", ROWS), ("dev", 12)):
        rows = [
            f"{i}\tthe chef stirred the soup {i}\tthe soup was stirred\t"
            f"{'entailment' if i % 2 else 'not_entailment'}"
            for i in range(count)
        ]
        head = "index\tsentence1\tsentence2\tlabel"
        (glue / "RTE" / f"{split}.tsv").write_text("\n".join([head, *rows]) + "\n")
    return {"HF_HUB_CACHE": str(cache), "RPMASK_GLUE_DIR": str(glue), "HF_HUB_OFFLINE": "0"}


def test_sample_trains_the_dense_model_first_and_run_finds_it(
    tmp_path: Path, places: dict[str, str]
) -> None:
    done = rpmask(["sample", "-t", "rte", "--k", "8"], tmp_path, places)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == f"No --model is given; using {NAME}, the paper's."
    assert f"'{NAME}' has no head for rte: training the dense model first." in said
    drawn = answer(["sample", "-t", "rte", "--k", "8"], tmp_path, places)
    assert drawn["reused"]
    assert (drawn["k"], drawn["model"], drawn["sparsity"]) == (8, NAME, 0.9375)
    walked = answer(["run", "-t", "rte", *SHORT], tmp_path, places)
    assert walked["model"] == NAME
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    dense = client.get_model_version_by_alias("rpmask-rte", "dense")
    assert walked["dense"]["model"]["alias"] == "dense"
    assert walked["dense"]["model"]["version"] == int(dense.version)
    assert walked["levels"][0]["finetune"]["model"]["name"] == "rpmask-rte"
    assert walked["champion"]["name"] == "rpmask-rte"


def test_a_jackpot_is_searched_under_a_trained_head(tmp_path: Path, places: dict[str, str]) -> None:
    found = answer(["jackpot", "-t", "rte", "--epochs", "1", "--threads", "1"], tmp_path, places)
    assert found["model"]["alias"] == "jackpot"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    dense = client.get_model_version_by_alias("rpmask-rte", "dense")
    weights = client.get_run(found["run_id"]).data.params["weights"]
    assert weights == f"models:/rpmask-rte/{dense.version}"


def test_the_mlflow_project_needs_no_model(tmp_path: Path, places: dict[str, str]) -> None:
    shutil.copy(ROOT / "conda.yaml", tmp_path)
    project = (ROOT / "MLproject").read_text()
    main = "python -m rpmask run --config {config}"
    assert main in project
    (tmp_path / "MLproject").write_text(project.replace(main, " ".join([main, *SHORT])))
    store = f"sqlite:///{tmp_path}/mlflow.db"
    beside = Path(sys.executable).parent
    environment = clean_environment() | places | {"MLFLOW_TRACKING_URI": store}
    environment["PATH"] = f"{beside}{os.pathsep}{environment['PATH']}"
    command = [str(beside / "mlflow"), "run", ".", "-P", "task=rte", "--env-manager", "local"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"No --model is given; using {NAME}, the paper's." in done.stderr
    for alias in ("dense", "champion"):
        assert MlflowClient(store).get_model_version_by_alias("rpmask-rte", alias)


def test_without_a_cache_and_a_network_it_is_said_at_once(
    tmp_path: Path, places: dict[str, str]
) -> None:
    nothing = {
        **places,
        "HF_HUB_CACHE": str(tmp_path / "empty"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    for verb in (["run"], ["sample", "--k", "8"], ["finetune", "--dense"], ["tune"]):
        started = time.monotonic()
        done = rpmask([*verb, "-t", "rte"], tmp_path, nothing, cold=True)
        seconds = time.monotonic() - started
        assert done.returncode == 2
        first, error, hint = done.stderr.splitlines()
        assert first.startswith(f"No --model is given; using {NAME}")
        assert f"The model '{NAME}' is not on this machine and the hub cannot be" in error
        assert "--model" in hint
        assert seconds < 15  # most of it is the start of Python on a busy machine
    assert not (tmp_path / "mlflow.db").exists()


def test_image_tasks_keep_asking(tmp_path: Path, places: dict[str, str]) -> None:
    done = rpmask(["run", "-t", "cifar10"], tmp_path, places)
    assert done.returncode == 2
    assert "The task 'cifar10' needs a model." in done.stderr
