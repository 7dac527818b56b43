"""What a run or a version has settled cannot be asked for again; a pruned version is no dense model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rpmask.cli import entry
from rpmask.cli.common import default_model

CHAMPION = "models:/rpmask-demo@champion"


@pytest.fixture
def ask(
    road: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """What a command answers in the road's folder, and its exit status."""
    monkeypatch.chdir(road[0])

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
    code, answer = ask(*verb, "--model", CHAMPION)
    assert code == 2
    assert "is pruned, to 93.75%; --model is a dense one." in answer["error"]
    assert answer["hint"].startswith("`rpmask sample --from models:/rpmask-demo")
    code, answer = ask("sample", "--model", "models:/rpmask-demo@selected")
    assert code == 2
    assert answer["hint"].startswith("`rpmask finetune --from models:/rpmask-demo")


def test_masks_are_drawn_inside_that_of_a_version(
    ask: Any, road: tuple[Path, dict[str, Any]]
) -> None:
    last = road[1]["levels"][-1]["finetune"]["run_id"]
    drawn = ("--sparsity", "0.97", "--k", "2", "--importance", "magnitude")
    code, answer = ask("sample", "--from", CHAMPION, *drawn)
    assert code == 0
    assert answer["level"] == 3
    code, again = ask("sample", "--from", last, *drawn)
    assert (again["run_id"], again["reused"]) == (answer["run_id"], True)


def test_options_beside_a_run_that_has_its_own(ask: Any, road: tuple[Path, dict[str, Any]]) -> None:
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
        ("select", "--from", runs["screen"], "--task", "RTE"): "is of the task 'demo', not 'rte'",
        ("finetune", "--from", runs["select"], "--task", "x"): "is of the task 'demo', not 'x'",
    }
    for command, says in refused.items():
        code, answer = ask(*command)
        assert code == 2, command
        assert says in answer["error"], command


def test_the_same_task_may_be_said_again(ask: Any, road: tuple[Path, dict[str, Any]]) -> None:
    screened = road[1]["levels"][-1]["screen"]["run_id"]
    code, answer = ask("select", "--from", screened, "--task", "Demo", "--take", "best")
    assert (code, answer["task"]) == (0, "demo")


def test_a_task_is_known_however_it_is_spelled(ask: Any) -> None:
    code, answer = ask("report", "--task", "DEMO", "--no-log")
    assert code == 0
    assert {row["task"] for row in answer["rows"]} == {"demo"}
    assert default_model(None, "Demo") == "demo"
