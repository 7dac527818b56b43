"""Tightening and pruning without a training, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import answer, rpmask
from mlflow import MlflowClient

from rpmask.cli.tables import run_table

ROWS = ("--task", "demo", "--train-rows", "300", "--selection-rows", "60", "--threads", "1")
RACE = ("--k", "2", "--budget", "0.05", "--rungs", "1", "--twins", "0", "--examples", "60")


@pytest.fixture(scope="module")
def tightened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("tightened")
    levels = ("--levels", "0.5", "--sparsity", "0.9", "--tighten-cuts", "3", "--epochs", "1")
    return folder, answer(["run", *ROWS, *RACE, *levels], folder)


def test_a_run_whose_levels_end_below_its_sparsity_tightens(
    tightened: tuple[Path, dict[str, object]],
) -> None:
    folder, result = tightened
    assert result["sparsity"] == 0.9
    (level,) = result["levels"]  # type: ignore[misc]
    trained, chosen = level["finetune"], level["select"]
    assert (level["sparsity"], trained["sparsity"]) == (0.5, 0.9)
    assert "after the race at 50%; dense" in str(run_table(result)[1])
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.get_run(trained["run_id"])
    path = client.download_artifacts(trained["run_id"], "finetune.json", str(folder))
    record = json.loads(Path(path).read_text())
    shown = answer(["mask", "show", trained["run_id"]], folder)
    assert shown["digest"] == record["mask_digest"]
    assert shown["sparsity"] == pytest.approx(0.9, abs=1e-4)
    between = answer(["mask", "diff", trained["run_id"], chosen["run_id"]], folder)
    assert between["inside"]
    assert record["tightened_from"] == between["digests"][1]
    curve = [point.value for point in client.get_metric_history(trained["run_id"], "sparsity")]
    assert curve == pytest.approx([0.9 - 0.4 * (2 / 3) ** 3, 0.9 - 0.4 / 27, 0.9], abs=1e-3)
    assert "tightened the mask" in run.data.tags["mlflow.note.content"]


def test_a_target_that_the_mask_has_reached_is_refused(
    tightened: tuple[Path, dict[str, object]],
) -> None:
    folder, result = tightened
    selected = result["levels"][0]["select"]["run_id"]  # type: ignore[index]
    done = rpmask(["finetune", "--from", selected, "--tighten", "0.4", "--json"], folder)
    assert done.returncode == 2
    assert "drops 0.5 already, and --tighten is 0.4" in json.loads(done.stdout)["error"]
    done = rpmask(["finetune", "--from", selected, "--tighten", "0.9999999", "--json"], folder)
    assert done.returncode == 2
    assert "A sparsity of 0.9999999 keeps none of" in json.loads(done.stdout)["error"]
    without = ["--tighten", "0.8", "--epochs", "0"]
    for typed, says in (
        ([*without, "--refit", "0"], "and both are left out"),
        ([*without, "--tighten-cuts", "3"], "--tighten-cuts paces the cuts of a training"),
        (["--tighten", "0.9999999", "--epochs", "0"], "A sparsity of 0.9999999 keeps none of"),
        (["--tighten-cuts", "3"], "--tighten is not given"),
        (["--dense", "--tighten", "0.9"], "--tighten cannot go with --dense"),
        (["--dense", "--epochs", "0"], "--dense trains the dense model"),
    ):
        done = rpmask(["finetune", *typed, "--json"], folder)
        assert done.returncode == 2
        assert says in json.loads(done.stdout)["error"]


def test_pruning_without_any_training(tmp_path: Path) -> None:
    """Masks are compared after a refit, and the selected one's weights are refitted; no step is taken."""
    pruned = answer(
        ["run", *ROWS, "--one-shot", "-s", "0.8", "--epochs", "0", "--k", "3", "--examples", "60"],
        tmp_path,
    )
    (level,) = pruned["levels"]
    assert level["screen"]["steps_spent"] == 0
    assert [one["rungs"][-1]["step"] for one in level["screen"]["candidates"]] == [0, 0, 0]
    assert len({one["score"] for one in level["screen"]["candidates"]}) == 3
    assert level["finetune"]["steps"] == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(level["finetune"]["run_id"]).data.params["refit"] == "1024"
    assert level["finetune"]["dev"]["accuracy"] > level["finetune"]["majority"]["accuracy"]
