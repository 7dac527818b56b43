"""Inputs made to do harm: pickles, paths that climb, names that are no names, open ports."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faults.commanding import run
from faults.conftest import Walked
from folders import copied
from servers import free_port

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask, save_mask
from rpmask.tasks.builtin import demo_model_dir
from rpmask.tracking import server

SAMPLE = ["sample", "--k", "1", "-s", "0.9"]
EMOJI = "\U0001f480" * 2_500  # 10 kB


class Planted:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


def test_a_planted_pickle_is_not_loaded(fresh: Walked, tmp_path: Path) -> None:
    folder = copied(fresh.folder, tmp_path / "work")
    trace, model = tmp_path / "loaded", folder / "model"
    shutil.copytree(demo_model_dir(), model)
    for weights in model.glob("*.safetensors"):
        weights.unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(trace)))
    ended = run([*SAMPLE, "-m", "./model"], folder)
    assert ended.code == 2, ended.stderr
    assert "safetensors" in ended.stdout
    assert not trace.exists()
    pickle.loads((model / "pytorch_model.bin").read_bytes())
    assert trace.exists()  # it would have been


def test_code_of_a_model_is_not_run(fresh: Walked, tmp_path: Path) -> None:
    folder = copied(fresh.folder, tmp_path / "work")
    trace, model = tmp_path / "run", folder / "model"
    shutil.copytree(demo_model_dir(), model)
    config = json.loads((model / "config.json").read_text())
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoTokenizer")
    config["auto_map"] = dict.fromkeys(names, "planted.Planted")
    (model / "config.json").write_text(json.dumps(config))
    (model / "planted.py").write_text(f"open({str(trace)!r}, 'w')\nclass Planted: pass\n")
    run([*SAMPLE, "-m", "./model"], folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["../../escaped", "/etc/escaped", "a\0b", EMOJI], ids=["up", "root", "nul", "emoji"]
)
def test_a_tensor_may_have_any_name_and_touches_no_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    mask = Mask.from_bools({name: np.eye(8, dtype=bool)})
    # Some names a safetensors file cannot hold; they are refused.
    with contextlib.suppress(RpmaskError):
        save_mask(mask, folder / "mask")
        assert load_mask(folder / "mask") == mask
    assert {path.name for path in tmp_path.rglob("*")} <= {"one", "mask"}


NAMES = pytest.mark.parametrize(
    "name", ["../../escaped", "a\0b", EMOJI, "x' or '1' = '1"], ids=["up", "nul", "emoji", "quote"]
)


@NAMES
@pytest.mark.parametrize("option", ["--from", "--task", "--model"])
def test_a_name_of_nothing_is_refused_by_name(
    option: str, name: str, fresh: Walked, tmp_path: Path
) -> None:
    folder = copied(fresh.folder, tmp_path / "one" / "two" / "work")
    verb = ["screen"] if option == "--from" else SAMPLE
    ended = run([*verb, option, name], folder)
    assert ended.code == 2
    assert "Traceback" not in ended.stderr
    assert f"'{name[:50]}" in json.loads(ended.stdout)["error"]  # a very long one is cut short
    assert not list(tmp_path.rglob("*escaped*"))


@NAMES
def test_an_experiment_may_have_any_name_and_touches_no_path(
    name: str, fresh: Walked, tmp_path: Path
) -> None:
    folder = copied(fresh.folder, tmp_path / "one" / "two" / "work")
    ended = run([*SAMPLE, "--experiment", name], folder)
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.rglob("*escaped*"))
    if len(name) > 500:
        assert ended.code != 0
        assert "500 characters" in json.loads(ended.stdout)["error"]
        return
    assert ended.answer["k"] == 1
    with sqlite3.connect(folder / "mlflow.db") as base:
        assert (name,) in base.execute("select name from experiments").fetchall()


def test_the_ui_listens_on_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    said: list[str] = []
    run = SimpleNamespace(run=lambda command, **_: started.append(list(command)))
    monkeypatch.setattr(server, "subprocess", run)
    server.serve_ui(f"sqlite:///{tmp_path}/mlflow.db", "rpmask", free_port(), said.append)
    (command,) = started
    assert "/#/experiments?workflowType=machine_learning" in said[0]  # there is no experiment yet
    assert command[command.index("--host") + 1] == "127.0.0.1"
