"""The cache, a hub that answers, and hubs that do not."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants

from rpmask.errors import RpmaskError, RunFailed
from rpmask.tasks import hub
from rpmask.tasks.registry import load_task

ROWS = {"sentence1": ["a", "b", "c"], "sentence2": ["", "'d", '"e'], "label": [0, 1, 1]}
LABEL = datasets.ClassLabel(names=["entailment", "not_entailment"])


def split_of(rows: dict[str, list[object]]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(rows).cast_column("label", LABEL)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of `datasets`, with no other source of GLUE about."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.delenv("RPMASK_GLUE_DIR", raising=False)
    return tmp_path


def fill(cache: Path, revision: str, rows: dict[str, list[object]], age: int = 0) -> Path:
    """Lay the files out as `datasets` does after a download."""
    folder = cache / "nyu-mll___glue" / "rte" / "0.0.0" / revision
    for split in ("train", "validation"):
        split_of(rows).save_to_disk(folder / split)
        (folder / split / "data-00000-of-00001.arrow").rename(folder / f"glue-{split}.arrow")
    info = folder / "dataset_info.json"
    info.write_text(json.dumps({"config_name": "rte"}))
    os.utime(info, (1e9 - age, 1e9 - age))
    return folder


def test_the_newest_whole_download_is_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: pytest.fail("went to the network"))
    fill(cache, "old", {**ROWS, "sentence1": ["x", "y", "z"]}, age=100)
    fill(cache, "new", ROWS)
    (fill(cache, "torn", ROWS, age=-100) / "glue-validation.arrow").unlink()
    data = load_task("rte", selection_rows=1)
    assert data.source == "cache:nyu-mll/glue/rte@new"
    assert data.dev["dev"][:] == {
        "text": ROWS["sentence1"],
        "text_pair": ROWS["sentence2"],
        "label": ROWS["label"],
        "row": [0, 1, 2],
    }
    assert sorted(data.train["row"][:] + data.selection["row"][:]) == [0, 1, 2]


def test_a_download_in_shards(cache: Path) -> None:
    folder = fill(cache, "sharded", ROWS)
    (folder / "glue-train.arrow").rename(folder / "glue-train-00000-of-00002.arrow")
    (folder / "glue-train-00001-of-00002.arrow").write_bytes(
        (folder / "glue-train-00000-of-00002.arrow").read_bytes()
    )
    cached = hub.read_cached("rte", ["train"])
    assert cached is not None
    assert cached[0]["train"].column("sentence1") == ROWS["sentence1"] * 2


def test_a_damaged_cache_names_the_folder_to_delete(cache: Path) -> None:
    folder = fill(cache, "bad", ROWS)
    (folder / "glue-train.arrow").write_bytes(b"not arrow")
    with pytest.raises(RpmaskError, match=r"glue-train\.arrow cannot be read") as caught:
        load_task("rte")
    assert f"Delete the folder {folder}" in caught.value.hint


def test_a_hub_that_answers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def load(repository: str, config: str) -> dict[str, datasets.Dataset]:
        asked.append((repository, config))
        hidden = {**ROWS, "label": [-1, -1, -1]}
        test = datasets.Dataset.from_dict(hidden)
        return {"train": split_of(ROWS), "validation": split_of(ROWS), "test": test}

    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", load)
    data = load_task("RTE", selection_rows=1)
    assert asked == [("nyu-mll/glue", "rte")]
    assert data.source == "hub:nyu-mll/glue/rte"
    assert data.dev["dev"]["label"][:] == [0, 1, 1]
    fill(cache, "same", ROWS)
    assert load_task("rte", selection_rows=1).digests == data.digests


def test_a_hub_that_fails_after_all(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: str) -> None:
        raise ConnectionResetError("reset\nby peer")

    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(RunFailed, match="failed: ConnectionResetError: reset by peer") as caught:
        load_task("rte")
    assert "--task demo" in caught.value.hint


@pytest.mark.usefixtures("cache")
def test_the_hub_has_validation_splits_of_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    def refuse(_: str, splits: tuple[str, ...]) -> None:
        seen.append(splits)
        raise RpmaskError("stop")

    monkeypatch.setattr(hub, "download", refuse)
    with pytest.raises(RpmaskError, match="stop"):
        load_task("mnli")
    assert seen == [("train", "validation_matched", "validation_mismatched")]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.usefixtures("no_proxies")
def test_the_probe_follows_proxies(monkeypatch: pytest.MonkeyPatch, listening: int) -> None:
    assert hub.unreachable(f"http://127.0.0.1:{listening}/api") is None
    monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{listening}")
    assert hub.unreachable("https://hub.invalid") is None
    monkeypatch.setenv("https_proxy", "user:secret@127.0.0.1:9")
    problem = hub.unreachable("https://hub.invalid")
    assert problem is not None
    assert problem.startswith("127.0.0.1:9: ")
    assert "secret" not in problem
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert hub.unreachable(f"https://127.0.0.1:{listening}") is None


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://hub.invalid", "nonsense", ""])
def test_nothing_there(endpoint: str) -> None:
    assert hub.unreachable(endpoint)


@pytest.mark.usefixtures("no_proxies")
def test_a_port_that_is_none() -> None:
    with pytest.raises(RpmaskError, match="port in the address of 'hub'"):
        hub.unreachable("http://hub:99999")


def test_a_name_server_that_hangs_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(hub, "DEADLINE", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert hub.unreachable("https://hub.invalid") == "hub.invalid:443 does not answer"
    released.set()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("variable", ["constant", "HF_DATASETS_OFFLINE"])
def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    if variable == "constant":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setenv(variable, "yes")
    with pytest.raises(RpmaskError, match="offline mode is on"):
        load_task("rte")


@pytest.mark.usefixtures("no_proxies")
def test_a_fresh_process_says_the_ways_out_at_once(cache: Path) -> None:
    """The client's own look-up retries for half a minute; a quarter of that is a generous limit."""
    program = (
        "from rpmask.errors import RpmaskError\n"
        "from rpmask.tasks.registry import load_task\n"
        "try:\n    load_task('qqp')\n"
        "except RpmaskError as error:\n    print(error.message, error.hint)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, timeout=8, check=True,
    )  # fmt: skip
    assert "Task 'qqp' is not on this machine and the hub cannot be reached" in done.stdout
    for way in ("--data-dir", "RPMASK_GLUE_DIR", "--train", "--dev", "--task demo"):
        assert way in done.stdout
    assert list(cache.iterdir()) == []
