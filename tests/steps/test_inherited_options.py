"""Options that a run or a version decides are refused; a pruned version is no dense model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import answer, rpmask

from rpmask.cli import entry
from rpmask.cli.sources import find_model
from rpmask.cli.tracking import Tracking
from rpmask.records import DataChoice

CHAMPION = "models:/rpmask-demo@champion"


@pytest.fixture
def ask(
    road: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Run a command in the folder of the run; return its exit status and its answer."""
    monkeypatch.chdir(road[0])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # of a test before, in this process

    def asked(*arguments: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            entry.main([*arguments, "--json"])
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return asked


@pytest.mark.parametrize(
    "verb",
    [
        ("sample", "--sparsity", "0.97"),
        ("tune", "--steps", "10"),
        ("run", "--one-shot"),
        ("jackpot", "--sparsity", "0.97"),
    ],
    ids=lambda verb: verb[0],
)
def test_a_pruned_version_is_no_dense_model(ask: Any, verb: tuple[str, ...]) -> None:
    code, found = ask(*verb, "--model", CHAMPION)
    assert code == 2
    assert "is pruned, to 93.75%; --model is a dense one." in found["error"]
    assert found["hint"].startswith("`rpmask sample --from models:/rpmask-demo")
    code, found = ask("sample", "--model", "models:/rpmask-demo@selected")
    assert code == 2
    assert found["hint"].startswith("`rpmask finetune --from models:/rpmask-demo")


def test_masks_are_drawn_inside_that_of_a_version(
    ask: Any, road: tuple[Path, dict[str, Any]]
) -> None:
    last = road[1]["levels"][-1]["finetune"]["run_id"]
    drawn = ("--sparsity", "0.97", "--k", "2", "--importance", "magnitude")
    code, found = ask("sample", "--from", CHAMPION, *drawn)
    assert code == 0
    assert found["level"] == 3
    code, again = ask("sample", "--from", last, *drawn)
    assert (again["run_id"], again["reused"]) == (found["run_id"], True)


def test_options_that_a_run_decides_are_refused(
    ask: Any, road: tuple[Path, dict[str, Any]]
) -> None:
    level = road[1]["levels"][-1]
    runs = {step: level[step]["run_id"] for step in ("sample", "screen", "select", "finetune")}
    refused = {
        ("sample", "--from", runs["finetune"], "--train-rows", "50"): "--train-rows cannot go with",
        ("sample", "--like", runs["sample"], "--max-length", "64"): "--max-length cannot go with",
        ("sample", "--from", runs["finetune"], "--model", "x"): "--model cannot go with --from",
        ("tune", "--from", runs["finetune"], "--text", "x"): "--text cannot go with --from",
        ("jackpot", "--from", runs["select"], "--sparsity", "0.5"): "--sparsity cannot go with",
        ("jackpot", "--from", runs["select"], "--train-rows", "9"): "--train-rows cannot go with",
        ("jackpot", "--from", runs["select"], "--task", "rte"): "is of the task 'demo', not 'rte'",
        ("screen", "--from", runs["sample"], "--task", "rte"): "is of the task 'demo', not 'rte'",
        ("select", "--from", runs["screen"], "--task", "RTE"): "is of the task 'demo', not 'RTE'",
        ("finetune", "--from", runs["select"], "--task", "x"): "is of the task 'demo', not 'x'",
    }
    refused |= {  # a default that is typed is an answer, not an absence
        (
            "sample",
            "--like",
            runs["sample"],
            "--sparsity",
            "0.8",
        ): "is at the sparsity 0.9375, not 0.8",
        (
            "sample",
            "--like",
            runs["sample"],
            "--granularity",
            "weight",
        ): "--granularity cannot go with",
        (
            "sample",
            "--like",
            runs["sample"],
            "--importance",
            "fisher",
        ): "--importance cannot go with",
        (
            "sample",
            "--recipe",
            "paper",
            "--allocation",
            "uniform,global",
        ): "--allocation cannot go with",
        ("run", "--recipe", "paper", "--temperature", "0.05..0.5"): "--temperature cannot go with",
        ("sample", "--from", runs["finetune"], "--sparsity", "0.9375"): "nothing is left to draw",
        ("sample", "-t", "dmeo"): "There is no task 'dmeo'; did you mean 'demo'",
        ("finetune", "--dense", "-t", "dmeo"): "There is no task 'dmeo'; did you mean 'demo'",
        ("sample", "--like", runs["sample"], "--task", "rte"): "is of the task 'demo', not 'rte'",
        (
            "sample",
            "--from",
            runs["finetune"],
            "--max-length",
            "128",
        ): "--max-length cannot go with",
        ("jackpot", "--from", runs["select"], "--sparsity", "0.9"): "--sparsity cannot go with",
        ("finetune", "--from", runs["select"], "--label", "label"): "--label cannot be chosen here",
    }
    for command, says in refused.items():
        code, found = ask(*command)
        assert code == 2, command
        assert says in found["error"], command


def test_the_same_task_may_be_named_again(ask: Any, road: tuple[Path, dict[str, Any]]) -> None:
    screened = road[1]["levels"][-1]["screen"]["run_id"]
    code, found = ask("select", "--from", screened, "--task", "Demo", "--take", "best")
    assert (code, found["task"]) == (0, "demo")


def test_a_task_is_known_however_it_is_spelled(ask: Any) -> None:
    code, found = ask("report", "--task", "DEMO", "--no-log")
    assert code == 0
    assert {row["task"] for row in found["rows"]} == {"demo"}
    assert find_model("Demo", DataChoice(), {}, Tracking()) == "demo"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of another task than the default one, at another sparsity than the default one."""
    folder = tmp_path_factory.mktemp("digits")
    drawn = answer(["sample", "-t", "digits", "-s", "0.8", "--k", "3"], folder)
    return folder, drawn["run_id"]


def test_the_default_task_is_refused_with_a_run_of_another(digits: tuple[Path, str]) -> None:
    folder, drawn = digits
    done = rpmask(["screen", "--from", drawn, "--task", "demo"], folder)
    assert done.returncode == 2
    assert f"'{drawn}' is of the task 'digits', not 'demo'." in done.stderr
    done = rpmask(["sample", "--like", drawn, "--task", "demo"], folder)
    assert f"'{drawn}' is of the task 'digits', not 'demo'." in done.stderr


def test_the_default_sparsity_is_refused_with_a_study_of_another(
    digits: tuple[Path, str],
) -> None:
    folder, drawn = digits
    done = rpmask(["sample", "--like", drawn, "--sparsity", "0.9375"], folder)
    assert done.returncode == 2
    assert "is at the sparsity 0.8, not 0.9375." in done.stderr
    assert answer(["sample", "--like", drawn, "--k", "2"], folder)["sparsity"] == 0.8
