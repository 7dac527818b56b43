"""What lies in the hub's cache is a model only with its weights; what the hub says is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.train.model_place import locate

NAME = "someone/model"
COMMIT = "0123456789" * 4


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot in an otherwise empty cache, as AutoConfig.from_pretrained leaves it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "models--someone--model"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def the_hub(monkeypatch: pytest.MonkeyPatch, answers: Callable[[], str]) -> None:
    monkeypatch.setattr("rpmask.train.model_place.unreachable", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: answers())


def test_a_cached_configuration_alone_is_no_model(snapshot: Path) -> None:
    with pytest.raises(RpmaskError, match="not on this machine and the hub cannot be reached"):
        locate(NAME)
    (snapshot / "model.safetensors").touch()
    assert locate(NAME).weights == str(snapshot)


def test_every_file_of_the_index_must_be_cached(snapshot: Path) -> None:
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": dict(zip("ab", files, strict=True))}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / files[0]).touch()
    with pytest.raises(RpmaskError, match="not on this machine"):
        locate(NAME)
    (snapshot / files[1]).touch()
    assert locate(NAME).weights == str(snapshot)


def test_what_the_cache_lacks_the_hub_gives(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complete() -> str:
        (snapshot / "model.safetensors").touch()
        return str(snapshot)

    the_hub(monkeypatch, complete)
    assert locate(NAME).weights == str(snapshot)


@pytest.mark.parametrize("kind", [ConnectionError, TimeoutError, RuntimeError])
def test_a_connection_that_breaks_is_said(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def broken() -> str:
        raise kind("the line went dead")

    the_hub(monkeypatch, broken)
    with pytest.raises(RpmaskError, match=f"failed: {kind.__name__}: the line went dead"):
        locate(NAME)


def test_weights_that_are_only_pickled_are_refused(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snapshot / "pytorch_model.bin").touch()
    the_hub(monkeypatch, lambda: str(snapshot))
    with pytest.raises(RpmaskError, match=r"no model\.safetensors on the hub"):
        locate(NAME)
