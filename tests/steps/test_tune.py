"""Generations: each continues the study of the one before, its best mask in the ring."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commands import answer, rpmask
from mlflow import MlflowClient

from rpmask.tracking.study import Study

LITTLE = [
    *("--k", "4", "--train-rows", "256", "--selection-rows", "100", "--examples", "80"),
    *("--threads", "1", "--twins", "0", "--race-refit", "0", "--calibration-rows", "8"),
]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tune")
    return folder, answer(["tune", "--steps", "22", *LITTLE], folder)


def test_it_spends_its_steps_and_no_more(tuned: tuple[Path, dict[str, Any]]) -> None:
    result = tuned[1]
    spent = [one["screen"]["steps_spent"] for one in result["generations"]]
    assert len(spent) >= 2
    assert sum(spent) == result["steps_spent"] <= 22
    assert result["steps_spent"] + max(spent) > 22


def test_the_best_mask_stays_in_the_ring(tuned: tuple[Path, dict[str, Any]]) -> None:
    generations = tuned[1]["generations"]
    for before, after in pairwise(generations):
        finished = [
            (c["score"], i)
            for i, c in enumerate(before["screen"]["candidates"])
            if c["status"] == "finished"
        ]
        best = before["sample"]["candidates"][min(finished)[1]]
        later = after["sample"]["candidates"]
        assert best["mask_digest"] in {c["mask_digest"] for c in later}
        assert after["sample"]["study"] == before["sample"]["study"]
        assert later[0]["control"]


def test_what_it_leaves_in_mlflow(tuned: tuple[Path, dict[str, Any]]) -> None:
    folder, result = tuned
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    charts = {item.path for item in client.list_artifacts(result["run_id"], "charts")}
    names = ("history", "importances", "parallel")
    assert {f"charts/tuning-{name}.png" for name in names} <= charts
    for one in result["generations"]:
        run = client.get_run(one["sample"]["run_id"])
        assert run.data.tags["mlflow.parentRunId"] == result["run_id"]


def test_select_corrects_for_all_comparisons(tuned: tuple[Path, dict[str, Any]]) -> None:
    folder, result = tuned
    chosen = answer(["select"], folder)
    assert chosen["screen_run_id"] == result["generations"][-1]["screen"]["run_id"]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    looked = sum(len(one["sample"]["candidates"]) - 1 for one in result["generations"])
    path = client.download_artifacts(chosen["run_id"], "selection.json")
    assert f'"compared": {looked}' in Path(path).read_text()


def test_again_is_reused_and_like_goes_on(tuned: tuple[Path, dict[str, Any]]) -> None:
    folder, result = tuned
    again = answer(["tune", "--steps", "22", *LITTLE], folder)
    assert again["reused"]
    assert again["run_id"] == result["run_id"]
    last = result["generations"][-1]["sample"]
    more = answer(["sample", "--k", "3", "--like", last["run_id"]], folder)
    assert more["study"] == last["study"]
    drawn = {c["mask_digest"] for c in more["candidates"][1:]}
    assert len(drawn) == 2


@pytest.mark.parametrize(
    ("extra", "said"),
    [(["--importance", "taylor"], "importances"), (["--sparsity", "0.5"], "sparsity")],
)
def test_another_problem_is_refused(
    tuned: tuple[Path, dict[str, Any]], extra: list[str], said: str
) -> None:
    folder, result = tuned
    last = result["generations"][-1]["sample"]["run_id"]
    done = rpmask(["sample", "--like", last, *extra], folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_another_race_of_the_same_pool_is_what_the_next_pool_continues(tmp_path: Path) -> None:
    """The first pool is drawn once; all that follows depends on how it was raced."""
    little = [*LITTLE, "--steps", "38"]
    short = answer(["tune", "--budget", "0.3", *little], tmp_path)
    long = answer(["tune", "--budget", "0.6", *little], tmp_path)
    pools = [[one["sample"]["run_id"] for one in done["generations"]] for done in (short, long)]
    assert pools[0][0] == pools[1][0]
    assert pools[0][1] != pools[1][1]
    first = long["generations"][0]
    assert first["screen"]["steps_spent"] > short["generations"][0]["screen"]["steps_spent"]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(pools[1][1]).data.tags["rpmask.race"] == first["screen"]["run_id"]
    trials = Study(None, tmp_path / ".rpmask", long["study"]).history()
    scores = {c["score"] for one in long["generations"] for c in one["screen"]["candidates"]}
    assert {trial.value for trial in trials} <= scores
    again = answer(["tune", "--budget", "0.3", *little, "--force"], tmp_path)
    assert again["study"] != short["study"]
    # Unforced, the first command finds its own steps, whatever ran since.
    assert answer(["tune", "--budget", "0.3", *little], tmp_path)["reused"]


def test_a_pool_that_continues_a_study_is_logged_with_its_space(tmp_path: Path) -> None:
    listed = ["--temperature", "0.1,0.3", "--importance", "magnitude", "--allocation", "uniform"]
    first = answer(["sample", "--k", "3", *listed], tmp_path)
    more = answer(["sample", "--k", "3", "--like", first["run_id"]], tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    for pool in (first, more):
        assert {c["temperature"] for c in pool["candidates"][1:]} <= {0.1, 0.3}
        logged = client.get_run(pool["run_id"]).data.params
        assert (logged["temperature"], logged["importance"]) == ("0.1,0.3", "magnitude")
