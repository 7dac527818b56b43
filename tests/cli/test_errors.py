"""Every user error gives one sentence, one hint and the right exit code, and leaves nothing half-written."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from commands import NEW_STORE, rpmask


@dataclass(frozen=True)
class Wrong:
    """A command line, and the error that it must give."""

    name: str
    arguments: str
    says: str
    hint: str
    code: int = 2
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


CASES = [
    Wrong("unknown task", "sample -t rtte -m demo", "no task 'rtte'", "did you mean|tasks are"),
    Wrong("no model", "sample -t cifar10", "needs a model", "--model"),
    Wrong("k below one", "sample --k 0", "k is 0", "--k 8"),
    Wrong("sparsity one", "sample -s 1.0", "sparsity is 1", "between|0.9375"),
    Wrong("sparsity negative", "sample -s -0.5", "sparsity is -0.5", "0.9375"),
    Wrong("sparsity nan", "sample -s nan", "sparsity is nan", "0.9375"),
    Wrong("temperature zero", "sample --temperature 0", "temperature is 0", "control"),
    Wrong("temperature text", "sample --temperature warm", "'warm'", "0.05..0.5"),
    Wrong("unknown importance", "sample --importance size", "size", "magnitude"),
    Wrong("unknown allocation", "sample --allocation even", "even", "uniform"),
    Wrong("unknown recipe", "sample --recipe best", "'best'", "paper"),
    Wrong("unknown sampler", "sample --sampler grid", "'grid'", "tpe"),
    Wrong("pattern matches nothing", "sample --include bert.nothing.*", "matches no", "look like"),
    Wrong("bad granularity", "sample --granularity 3:2", "3:2", ""),
    Wrong(
        "missing folder", "sample -t demo -m ./absent", "no folder './absent'", "save_pretrained"
    ),
    Wrong("not a model folder", "sample -m .", "no config.json", "save_pretrained"),
    Wrong(
        "damaged config",
        "sample -m broken",
        "cannot be read",
        "config.json",
        files={"broken/config.json": "{"},
    ),
    Wrong(
        "damaged weights",
        "sample -m cut",
        "cut",
        "",
        files={
            "cut/config.json": json.dumps(
                {
                    "model_type": "bert",
                    "num_hidden_layers": 1,
                    "hidden_size": 8,
                    "num_attention_heads": 2,
                    "intermediate_size": 8,
                    "vocab_size": 5,
                }
            ),
            "cut/model.safetensors": "not tensors",
        },
    ),
    Wrong(
        "hub cannot be reached",
        "sample -t rte -m bert-base-uncased",
        "cannot be reached",
        "--model|--data-dir",
        env={"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
    ),
    Wrong(
        "images from the hub",
        "sample -t cifar10 -m digits",
        "'cifar10' is not on this machine",
        "image folder",
        env={"HF_HUB_OFFLINE": "1"},
    ),
    Wrong(
        "train without dev", "sample -t mine -m demo --train a.csv", "--train needs --dev", "Dev"
    ),
    Wrong("missing file", "sample -t mine -m demo --train a.csv --dev b.csv", "a.csv", ""),
    Wrong(
        "missing column",
        "sample -t mine -m demo --train a.csv --dev a.csv --label y",
        "'y'",
        "",
        files={"a.csv": "text,label\nhello,1\nbye,0\n"},
    ),
    Wrong("levels fall", "run --levels 0.9,0.5", "rise|0.5", ""),
    Wrong("one level of two", "run --one-shot --levels 0.5,0.9", "one level.*asks for 2", "one of"),
    Wrong("no pool yet", "screen", "no finished `sample`", "rpmask sample"),
    Wrong("no screen yet", "select", "no finished `screen`", "rpmask screen"),
    Wrong("no selection yet", "finetune", "no finished `select`", "rpmask select"),
    Wrong(
        "a quote in a task's name",
        "screen --task a'b",
        "no finished `sample` of the task 'a'b'",
        "rpmask sample --task .*a.*b",
    ),
    Wrong(
        "both quotes",
        'select -t it\'s"so"',
        "no finished `screen` of the task 'it's\"so\"'",
        "rpmask screen",
    ),
    Wrong(
        "unknown run", "screen --from 0123456789abcdef0123456789abcdef", "no run", "prints the id"
    ),
    Wrong(
        "unknown alias", "finetune --from models:/rpmask-demo@selected", "no model", "models|Models"
    ),
    Wrong("unknown take", "select --take luck", "luck|no finished", ""),
    Wrong(
        "own data for a mask",
        "finetune --train a.csv --dev b.csv --max-length 64",
        "--train and --dev and --max-length cannot be chosen",
        "rpmask sample.*--dense",
    ),
    Wrong("a model for a mask", "finetune -m demo", "--model cannot be chosen", "--dense"),
    Wrong(
        "altered rows without a teacher",
        "finetune --dense --augment 2",
        "--augment cannot go with --dense",
        "no teacher",
    ),
    Wrong(
        "altered rows and labels alone",
        "run --augment 2 --distill-logits 0 --distill-hidden 0",
        "--augment needs a teacher",
        "--distill-logits",
    ),
    Wrong(
        "a mask for a dense model",
        "finetune --dense --from 0123456789abcdef0123456789abcdef --teacher demo",
        "--from and --teacher cannot go with --dense",
        "--model",
    ),
    Wrong("fp16 on a CPU", "finetune --precision fp16", "fp16 needs a CUDA device", "bf16"),
    Wrong("fp16 for all of it", "run --precision fp16", "fp16 needs a CUDA device", "bf16"),
    Wrong("set without value", "finetune --set epochs", "KEY=VALUE", "max_steps"),
    Wrong(
        "dead server",
        "sample --tracking-uri http://127.0.0.1:9",
        "does not answer",
        "mlflow server",
        code=1,
    ),
    Wrong(
        "unusable store",
        "sample --tracking-uri sqlite:////proc/none/mlflow.db",
        "cannot be used",
        "--tracking-uri",
    ),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database, so that no case runs the migrations."""
    folder = tmp_path_factory.mktemp("store")
    rpmask(NEW_STORE, folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong(case: Wrong, store: Path) -> None:
    for name, content in case.files.items():
        path = store / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
    before = time.monotonic()
    done = rpmask([*case.arguments.split(), "--json"], store, case.env, cold=bool(case.env))
    seconds = time.monotonic() - before
    assert done.returncode == case.code, done.stderr
    answer = json.loads(done.stdout)
    assert re.search(case.says, answer["error"]), answer
    assert re.search(case.hint, answer["hint"]), answer
    assert answer["hint"]
    assert "Traceback" not in done.stderr
    assert seconds < 60
    assert not list(store.glob(".rpmask/work/*"))


def test_without_json_the_error_is_on_stderr(store: Path) -> None:
    done = rpmask(["sample", "--k", "0"], store)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("error: --k is 0")
    assert done.stderr.splitlines()[1].startswith("hint:")


def test_wrong_option_is_json_too(store: Path) -> None:
    done = rpmask(["sample", "--k", "many", "--json"], store)
    assert done.returncode == 2
    assert "--k" in json.loads(done.stdout)["error"]
