"""The look-up order, the splits a task comes with, and names that are not tasks."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks import hub
from rpmask.tasks.registry import TEXT_TASKS, check_within_reach, get_spec, load_task

HEADER = "index\tsentence1\tsentence2\tlabel\n"


def glue_folder(root: Path, word: str) -> Path:
    """A data folder with ten rows of RTE, told from others by a word in every text."""
    (root / "RTE").mkdir(parents=True)
    for split, count in (("train", 10), ("dev", 2)):
        rows = [f"{i}\t{word} {i}\tx\t{'not_' * (i % 2)}entailment\n" for i in range(count)]
        (root / "RTE" / f"{split}.tsv").write_text(HEADER + "".join(rows))
    return root


def own_files(folder: Path) -> DataChoice:
    (folder / "own.csv").write_text("text,text_pair,label\nmine,a,0\nmine,b,1\nmine,c,1\n")
    file = str(folder / "own.csv")
    return DataChoice(train=file, dev=file, text_pair="text_pair")


@pytest.fixture(autouse=True)
def nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPMASK_GLUE_DIR", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: "no network")


def test_a_folder_gives_a_whole_task(tmp_path: Path) -> None:
    data = load_task(
        "rte", DataChoice(data_dir=str(glue_folder(tmp_path, "w")), split_seed=5, selection_rows=4)
    )
    assert data.spec is get_spec("rte")
    assert data.source == f"folder:{tmp_path / 'RTE'}"
    assert data.train.column_names == ["text", "text_pair", "label", "row"]
    assert sorted(data.train["row"][:] + data.selection["row"][:]) == list(range(10))
    assert sorted(data.selection["label"][:]) == [0, 0, 1, 1]
    assert data.train["text"][:] == [f"w {row}" for row in data.train["row"]]
    assert data.dev["dev"]["label"][:] == [0, 1]
    assert set(data.digests) == {"train", "selection", "dev"}

    again = load_task("rte", DataChoice(data_dir=str(tmp_path), split_seed=5, selection_rows=4))
    other = load_task("rte", DataChoice(data_dir=str(tmp_path), split_seed=6, selection_rows=4))
    assert again.digests == data.digests
    assert other.digests["dev"] == data.digests["dev"]
    assert other.digests["selection"] != data.digests["selection"]
    few = load_task(
        "rte", DataChoice(data_dir=str(tmp_path), split_seed=5, selection_rows=4, train_rows=2)
    )
    assert len(few.train) == 2
    assert few.digests["selection"] == data.digests["selection"]


def test_the_order_of_look_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, configured = glue_folder(tmp_path / "given", "g"), glue_folder(tmp_path / "env", "e")
    monkeypatch.setenv("RPMASK_GLUE_DIR", str(configured))
    assert load_task("rte", DataChoice(data_dir=str(given))).train["text"][0].startswith("g ")
    assert load_task("rte").train["text"][0].startswith("e ")
    assert load_task("rte", own_files(tmp_path)).train["text"][0] == "mine"
    with pytest.raises(RpmaskError, match="'mrpc' is not on this machine"):
        load_task("mrpc")
    with pytest.raises(RpmaskError, match="has no folder MRPC for task 'mrpc'"):
        load_task("mrpc", DataChoice(data_dir=str(given)))
    monkeypatch.setenv("RPMASK_GLUE_DIR", str(tmp_path / "misspelt"))
    with pytest.raises(RpmaskError, match=r"There is no folder .*misspelt"):
        load_task("rte")


def test_a_hole_in_the_folder_is_not_filled_from_elsewhere(tmp_path: Path) -> None:
    (glue_folder(tmp_path, "w") / "RTE" / "dev.tsv").unlink()
    with pytest.raises(RpmaskError, match=r"There is no file .*dev\.tsv"):
        load_task("rte", DataChoice(data_dir=str(tmp_path)))


def test_own_files_as_a_known_task_or_as_their_own(tmp_path: Path) -> None:
    own = own_files(tmp_path)
    known = load_task("rte", own)
    assert known.spec.labels == ("entailment", "not_entailment")
    assert known.dev["dev"]["label"][:] == [0, 1, 1]
    assert set(load_task("mnli", own).dev) == {"dev"}

    mine = load_task("mine", own)
    assert (mine.spec.name, mine.spec.labels) == ("mine", ("0", "1"))
    assert mine.source == f"files:{own.train},{own.dev}"


def test_the_demo(tmp_path: Path) -> None:
    data = load_task("demo", DataChoice(selection_rows=2, train_rows=8))
    assert (len(data.train), len(data.selection), data.source) == (8, 2, "builtin:demo")
    assert set(data.dev["dev"][0]) == {"text", "text_pair", "label", "row"}
    assert sorted(data.selection["label"][:]) == [0, 1]
    with pytest.raises(RpmaskError, match="'demo' is built in"):
        load_task("demo", own_files(tmp_path))
    with pytest.raises(RpmaskError, match="'demo' is built in"):
        load_task("demo", DataChoice(data_dir=str(tmp_path)))


def test_files_and_a_folder_contradict(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="Both files of your own"):
        load_task("rte", replace(own_files(tmp_path), data_dir=str(tmp_path)))


def test_names() -> None:
    assert TEXT_TASKS[0] == "demo"
    assert len(TEXT_TASKS) == 10
    assert get_spec("SST-2") is get_spec("sst2")
    for wrong, near in (("rtee", "'rte'"), ("mnil", "'mnli'"), ("sst", "'sst2'")):
        with pytest.raises(RpmaskError, match=f"no task '{wrong}'; did you mean .*{near}"):
            get_spec(wrong)
    with pytest.raises(RpmaskError, match=r"There is no task 'zzzz'\.$") as caught:
        load_task("zzzz")
    assert ", ".join(TEXT_TASKS) in caught.value.hint


def test_within_reach_is_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = glue_folder(tmp_path, "w")
    check_within_reach("demo", None)
    check_within_reach("digits", None)
    check_within_reach("RTE", folder)
    for name in ("qqp", "cifar10"):
        with pytest.raises(RpmaskError, match=f"'{name}' is not on this machine.*no network"):
            check_within_reach(name, None)
    with pytest.raises(RpmaskError, match="has no folder QQP"):
        check_within_reach("qqp", folder)
    monkeypatch.setenv("RPMASK_GLUE_DIR", str(folder))
    check_within_reach("rte", None)
    with pytest.raises(RpmaskError, match="no task 'shapes'"):
        check_within_reach("shapes", folder)
    for split in ("train", "dev"):
        (tmp_path / "images" / split / "round").mkdir(parents=True)
    check_within_reach("shapes", tmp_path / "images")


def test_importing_the_registry_is_cheap() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'evaluate', 'pyarrow', 'sklearn', 'numpy'}"
    program = f"import sys, rpmask.tasks.registry; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
