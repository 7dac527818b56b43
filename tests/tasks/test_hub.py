"""The cache, a hub that answers, and hubs that do not."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
from huggingface_hub import close_session, constants

from rpmask.errors import RpmaskError, RunFailed
from rpmask.records import DataChoice
from rpmask.tasks import hub
from rpmask.tasks.glue import GLUE
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
    data = load_task("rte", DataChoice(selection_rows=1))
    assert data.source == "cache:nyu-mll/glue/rte@new"
    assert data.dev["dev"][:] == {
        "text": ROWS["sentence1"],
        "text_pair": ROWS["sentence2"],
        "label": ROWS["label"],
        "row": [0, 1, 2],
    }
    assert sorted(data.train["row"][:] + data.selection["row"][:]) == [0, 1, 2]


def test_questions_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: pytest.fail("went to the network"))
    folder = cache / "rajpurkar___squad_v2" / "squad_v2" / "0.0.0" / "new"
    rows = [
        {
            "id": f"q{i}",
            "title": "Soup" if i < 2 else "Bread",
            "context": "The chef stirred.",
            "question": "Who?",
            "answers": {"text": ["chef"] * (i % 2), "answer_start": [4] * (i % 2)},
        }
        for i in range(4)
    ]
    for split in ("train", "validation"):
        datasets.Dataset.from_list(rows).save_to_disk(folder / split)
        (folder / split / "data-00000-of-00001.arrow").rename(folder / f"squad_v2-{split}.arrow")
    (folder / "dataset_info.json").write_text("{}")
    data = load_task("squad_v2", DataChoice(selection_rows=1))
    assert data.source == "cache:rajpurkar/squad_v2/squad_v2@new"
    assert data.dev["dev"]["answers"][:] == [[], ["chef"], [], ["chef"]]
    assert (len(data.train), len(data.selection)) == (2, 2)


def test_a_download_in_shards(cache: Path) -> None:
    folder = fill(cache, "sharded", ROWS)
    (folder / "glue-train.arrow").rename(folder / "glue-train-00000-of-00002.arrow")
    (folder / "glue-train-00001-of-00002.arrow").write_bytes(
        (folder / "glue-train-00000-of-00002.arrow").read_bytes()
    )
    splits, source = GLUE["rte"].on_hub.load()
    assert splits["train"]["sentence1"][:] == ROWS["sentence1"] * 2
    assert source == "cache:nyu-mll/glue/rte@sharded"


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
    data = load_task("RTE", DataChoice(selection_rows=1))
    assert asked == [("nyu-mll/glue", "rte")]
    assert data.source == "hub:nyu-mll/glue/rte"
    assert data.dev["dev"]["label"][:] == [0, 1, 1]
    fill(cache, "same", ROWS)
    assert load_task("rte", DataChoice(selection_rows=1)).digests == data.digests


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
    split = datasets.Dataset.from_dict(
        {"premise": ["a"] * 2, "hypothesis": ["b"] * 2, "label": [0, 2]}
    )
    names = ("train", "validation_matched", "validation_mismatched", "test_matched")
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: dict.fromkeys(names, split))
    data = load_task("mnli", DataChoice(selection_rows=1))
    assert set(data.dev) == {"dev_matched", "dev_mismatched"}


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub's client without proxies, made for this test alone."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    close_session()
    yield
    close_session()


@pytest.fixture
def silent() -> Iterator[int]:
    """Takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def answering() -> Iterator[int]:
    """An HTTP server that knows no page; as a proxy it refuses to connect anyone."""

    class Nothing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(302 if self.path == "/moved" else 404)
            self.send_header("Location", "http://hub.invalid")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.usefixtures("online")
def test_any_answer_will_do(answering: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "DEADLINE", 30)
    assert hub.unreachable(f"http://127.0.0.1:{answering}/api") is None
    assert hub.unreachable(f"http://127.0.0.1:{answering}/moved") is None
    problem = hub.unreachable(f"https://127.0.0.1:{answering}")
    assert problem is not None
    assert "SSL" in problem


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_taking_the_connection_is_no_answer(
    scheme: str, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DEADLINE", 0.2)
    problem = hub.unreachable(f"{scheme}://127.0.0.1:{silent}")
    assert problem is not None
    assert problem.startswith(f"{scheme}://127.0.0.1:{silent}")


@pytest.mark.usefixtures("online")
def test_the_request_goes_through_proxies(monkeypatch: pytest.MonkeyPatch, answering: int) -> None:
    monkeypatch.setattr(hub, "DEADLINE", 30)
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{answering}")
    monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{answering}")
    assert hub.unreachable("http://hub.invalid") is None
    problem = hub.unreachable("https://hub.invalid")
    assert "501" in str(problem)
    assert "secret" not in str(problem)
    close_session()
    monkeypatch.setenv("http_proxy", "user:secret@127.0.0.1:9")
    problem = hub.unreachable("http://hub.invalid")
    assert "refused" in str(problem)
    assert "secret" not in str(problem)
    close_session()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert hub.unreachable(f"http://127.0.0.1:{answering}") is None


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9", "https://hub.invalid", "http://hub:port", "nonsense", ""]
)
def test_nothing_there(endpoint: str) -> None:
    assert hub.unreachable(endpoint)


@pytest.mark.usefixtures("online")
def test_a_name_server_that_hangs_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(hub, "DEADLINE", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert hub.unreachable("https://hub.invalid") == "https://hub.invalid does not answer"
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


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("listens", [False, True], ids=["nothing", "silent"])
def test_a_fresh_process_says_the_ways_out_at_once(cache: Path, silent: int, listens: bool) -> None:
    """Left to itself the client retries for half a minute, or waits two for a hub that is silent."""
    program = (
        "from rpmask.errors import RpmaskError\n"
        "from rpmask.tasks.registry import load_task\n"
        "try:\n    load_task('qqp')\n"
        "except RpmaskError as error:\n    print(error.message, error.hint)\n"
    )
    endpoint = f"http://127.0.0.1:{silent if listens else 9}"
    environment = {**os.environ, "HF_ENDPOINT": endpoint}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert "Task 'qqp' is not on this machine and the hub cannot be reached" in done.stdout
    for way in ("--data-dir", "RPMASK_GLUE_DIR", "--train", "--dev", "--task demo"):
        assert way in done.stdout
    assert list(cache.iterdir()) == []
