"""`rpmask run` on the demo, through the command line, against a real MLflow store."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import mlflow
from commands import SMALL, answer, rpmask, what_matters
from mlflow import MlflowClient

COMMON = {"run_id", "experiment", "task", "model", "level", "sparsity", "seconds", "reused"}
KEYS = {
    "sample": {"k", "candidates", "mask_bytes"},
    "screen": {
        "pool_run_id",
        "engine",
        "workers",
        "steps_spent",
        "steps_full",
        "candidates",
        "study",
    },
    "select": {"screen_run_id", "winner", "verdict", "effect", "interval", "model"},
    "finetune": {"selection_run_id", "dense", "dev", "retention", "agreement", "model", "promoted"},
}


def test_json_keys(road: tuple[Path, dict[str, Any]]) -> None:
    _, result = road
    assert COMMON | {"levels", "champion"} <= set(result)
    for level in result["levels"]:
        for step, keys in KEYS.items():
            assert COMMON | keys <= set(level[step]), step
            assert json.dumps(level[step])


def test_levels_are_nested_and_exact(road: tuple[Path, dict[str, Any]]) -> None:
    for level in road[1]["levels"]:
        for candidate in level["sample"]["candidates"]:
            assert candidate["kept"] == round(candidate["total"] * (1 - level["sparsity"]))
        assert level["sample"]["candidates"][0]["control"]


def test_same_seed_same_results_in_a_fresh_folder(
    road: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    again = answer(["run", "--task", "demo", *SMALL], tmp_path)
    assert what_matters(again) == what_matters(road[1])


def test_same_command_again_computes_nothing(road: tuple[Path, dict[str, Any]]) -> None:
    folder, first = road
    again = answer(["run", "--task", "demo", *SMALL], folder)
    assert again["reused"]
    assert again["run_id"] == first["run_id"]
    assert what_matters(again) == what_matters(first)


def test_runs_are_nested_named_and_finished(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("rpmask")
    parent = road[1]["run_id"]
    steps_of = {parent, *(level[step]["run_id"] for level in road[1]["levels"] for step in KEYS)}
    runs = [  # the road's own: other tests add to its store
        run
        for run in client.search_runs([experiment.experiment_id], max_results=1000)
        if run.info.run_id == parent or run.data.tags.get("mlflow.parentRunId") in steps_of
    ]
    assert {run.info.status for run in runs} == {"FINISHED"}
    steps = [run.data.tags["rpmask.step"] for run in runs]
    assert steps.count("run") == 1
    for step in ("sample", "screen", "select", "finetune"):
        assert steps.count(step) == 2
    assert steps.count("candidate") == 8
    for run in runs:
        if run.data.tags["rpmask.step"] in KEYS:
            assert run.data.tags["mlflow.parentRunId"] == parent
            assert run.data.tags["mlflow.note.content"].startswith("**")
    names = {run.info.run_name for run in runs}
    assert "screen demo 93.75% k=4" in names


def test_no_metric_point_is_logged_twice(road: tuple[Path, dict[str, Any]]) -> None:
    rows = sqlite3.connect(road[0] / "mlflow.db").execute(
        "select run_uuid, key, step, count(*) from metrics group by 1, 2, 3 having count(*) > 1"
    )
    assert [row for row in rows if not row[1].startswith("system/")] == []


def test_registry_holds_selected_and_champion(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    model = client.get_registered_model("rpmask-demo")
    last = road[1]["levels"][-1]
    assert int(model.aliases["selected"]) == last["select"]["model"]["version"]
    assert int(model.aliases["champion"]) == last["finetune"]["model"]["version"]
    version = client.get_model_version_by_alias("rpmask-demo", "champion")
    for step in ("sample", "select", "finetune"):
        assert last[step]["run_id"] in version.description


def test_the_champion_is_as_sparse_as_it_says(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    from rpmask.masks.masked import MaskHold
    from rpmask.masks.packed_format import load_mask
    from rpmask.tasks.registry import get_spec
    from rpmask.train.models import load_classifier

    folder = mlflow.artifacts.download_artifacts("models:/rpmask-demo@champion")
    last = road[1]["levels"][-1]
    run_id = last["finetune"]["run_id"]
    mask = load_mask(client.download_artifacts(run_id, "mask.safetensors"))
    hold = MaskHold(load_classifier(folder, get_spec("demo")), mask)
    assert hold.verify() <= last["sample"]["candidates"][0]["kept"]


def test_the_answers_on_dev_are_those_of_the_reported_metrics(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    from safetensors.numpy import load_file

    from rpmask.heads.metrics import compute
    from rpmask.tasks.registry import get_spec

    trained = road[1]["levels"][-1]["finetune"]
    answers = load_file(client.download_artifacts(trained["run_id"], "dev.safetensors"))
    assert set(answers) == {"dev/logits", "dev/labels"}
    assert compute(get_spec("demo"), answers["dev/logits"], answers["dev/labels"]) == trained["dev"]


def test_agreement_is_the_share_of_dev_rows_that_the_dense_model_classifies_alike(
    road: tuple[Path, dict[str, Any]], client: MlflowClient
) -> None:
    from safetensors.numpy import load_file

    from rpmask.records import DataChoice
    from rpmask.steps.inputs import prepare
    from rpmask.tasks.registry import get_spec, load_task
    from rpmask.train.evaluate import evaluate
    from rpmask.train.models import load_classifier

    dev = prepare(load_task("demo", DataChoice()), DataChoice(), "demo").dev()["dev"]
    spec = get_spec("demo")
    dense = evaluate(load_classifier("demo", spec), dev, spec).logits.argmax(axis=1)
    for level in road[1]["levels"]:
        trained = level["finetune"]
        sparse = load_file(client.download_artifacts(trained["run_id"], "dev.safetensors"))
        said = sparse["dev/logits"].argmax(axis=1)
        assert trained["agreement"] == (said == dense).mean()
        run = client.get_run(trained["run_id"])
        assert run.data.metrics["agreement"] == trained["agreement"]
        assert trained["agreement_majority"] == max(dense.mean(), 1 - dense.mean())
        assert f"{trained['agreement']:.1%} of the answers" in run.data.tags["mlflow.note.content"]


def test_verbs_one_by_one_continue_from_the_latest(road: tuple[Path, dict[str, Any]]) -> None:
    folder, first = road
    last = first["levels"][-1]
    sampled = answer(
        ["sample", "--from", last["finetune"]["run_id"], "-s", "0.97", "--k", "2"], folder
    )
    assert sampled["level"] == 3
    done = rpmask(["screen", "--examples", "40", "--threads", "1", "--budget", "0.1"], folder)
    assert done.returncode == 0, done.stderr
    assert f"latest sample of 'demo': run {sampled['run_id']}" in done.stderr
    assert "next:    rpmask select --from" in done.stdout
    chosen = answer(["select", "--take", "best"], folder)
    assert chosen["model"]["alias"] == "selected"
    arguments = ["finetune", "--from", "models:/rpmask-demo@selected", "--epochs", "1"]
    # The store is other tests' too, and they name the run's last model as the champion.
    short = ["--threads", "1", "--set", "max_steps=3", "--retain", "5"]
    trained = answer([*arguments, *short], folder)
    assert not trained["promoted"]
    assert trained["selection_run_id"] == chosen["run_id"]
    assert trained["steps"] == 3


def test_a_run_of_the_wrong_step_is_refused(road: tuple[Path, dict[str, Any]]) -> None:
    folder, first = road
    done = rpmask(["screen", "--from", first["levels"][0]["select"]["run_id"], "--json"], folder)
    assert done.returncode == 2
    assert "is a `select`, not a `sample`" in json.loads(done.stdout)["error"]


def test_force_trains_again_from_the_start(road: tuple[Path, dict[str, Any]]) -> None:
    folder, first = road
    source = first["levels"][0]["select"]["run_id"]
    arguments = ["finetune", "--from", source, "--threads", "1", "--set", "max_steps=3"]
    once = answer(arguments, folder)
    again = answer([*arguments, "--force"], folder)
    assert not again["reused"]
    assert again["run_id"] != once["run_id"]
    assert again["dev"] == once["dev"]
    assert not list((folder / ".rpmask" / "work").iterdir())
