"""What a step's key covers: a decision of its code and an option that decides, not a comment."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rpmask.steps import decides
from rpmask.steps.decides import ROOT, code_version, step_digest
from rpmask.steps.finetune import deciding
from rpmask.steps.requests import FinetuneRequest
from rpmask.train.plan import TrainPlan


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's source, to be changed."""
    root = tmp_path / "rpmask"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("demo", "digits", "__pycache__"))
    return root


def version(step: str, root: Path) -> str:
    """What a new command finds."""
    decides._known.cache_clear()
    code_version.cache_clear()
    return code_version(step, root)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_words_train_nothing_again(copy: Path) -> None:
    steps = ("sample", "screen", "select", "finetune", "run", "jackpot")
    names = {"run": "pipeline"}
    known = {step: version(names.get(step, step), copy) for step in steps}
    for path in ("steps/report.py", "steps/finetune.py", "train/trainer.py", "records.py"):
        text = (copy / path).read_text()
        quotes = text.index('"""') + 3
        (copy / path).write_text(f"# a remark\n{text[:quotes]}In other words. {text[quotes:]}")
    edit(copy / "steps/report.py", 'PAGE = "report.html"', 'PAGE = "board.html"')
    edit(copy / "train/plan.py", "Peak learning rate", "Highest learning rate")
    edit(copy / "words.py", "def percent", "VERSION = 1\n\n\ndef percent")
    assert {step: version(names.get(step, step), copy) for step in steps} == known


@pytest.mark.parametrize(
    ("path", "old", "new", "changed", "same"),
    [
        ("records.py", "floor: float = 0.1", "floor: float = 0.2", "sample", None),
        ("tracking/study.py", 'WHOLE = "whole"', 'WHOLE = "all"', "sample", "finetune"),
        ("train/refit.py", "import torch", "import torch\n\nMORE = 1", "sample", "select"),
        (
            "randomized_masks/verdict.py",
            "draws: int = 10_000",
            "draws: int = 20",
            "select",
            "finetune",
        ),
        ("steps/finetune_result.py", "import numpy as np", "import numpy", "finetune", "select"),
    ],
)
def test_a_decision_changes_the_keys_of_the_steps_that_it_decides(
    copy: Path, path: str, old: str, new: str, changed: str, same: str | None
) -> None:
    steps = [changed, *([same] if same else [])]
    before = {step: version(step, copy) for step in steps}
    edit(copy / path, old, new)
    after = {step: version(step, copy) for step in steps}
    assert after[changed] != before[changed]
    if same:
        assert after[same] == before[same]


def test_the_code_is_read_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, reading = [], decides._module

    def module(path: Path, root: Path) -> object:
        read.append(path.relative_to(root).as_posix())
        return reading(path, root)

    monkeypatch.setattr(decides, "_module", module)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    first = version("finetune", copy)
    assert "train/trainer.py" in read
    read.clear()
    assert version("finetune", copy) == first
    assert read == []
    edit(copy / "train/trainer.py", "import math", "import math\n\nMORE = 1")
    changed = version("finetune", copy)
    assert changed != first
    assert read == ["train/trainer.py"]
    for content in (b"", b"[]", b'{"found by": 1}'):
        decides._kept_in(copy).write_bytes(content)
        assert version("finetune", copy) == changed


def test_an_installation_that_cannot_be_written_to(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (copy / "steps/__pycache__").write_text("no folder")
    found = version("finetune", copy)
    assert found == version("finetune", copy)
    (copy / "steps/__pycache__").unlink()
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert found == version("finetune", copy)
    assert not decides._kept_in(copy).exists()


def test_an_option_that_decides_no_number_is_not_in_the_key() -> None:
    usual = FinetuneRequest()
    strict = replace(usual, retain=0.99)
    longer = replace(usual, plan=TrainPlan(epochs=7))
    slower = replace(
        usual, plan=TrainPlan(tighten_share=0.5, tighten_cuts=4)
    )  # of what is not tightened
    tightened = replace(usual, plan=TrainPlan(tighten=0.9))

    def key(request: FinetuneRequest) -> str:
        return step_digest("finetune", {}, deciding(request))

    assert key(strict) == key(slower) == key(usual)
    assert key(longer) != key(usual)
    assert key(replace(tightened, plan=TrainPlan(tighten=0.9, tighten_share=0.5))) != key(tightened)
