"""Uploads to a stand-in for the hub, and every refusal as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub, stand_in
from huggingface_hub import close_session, constants

from rpmask.deploy.hub import check_repository, upload
from rpmask.deploy.model_card import UNNAMED
from rpmask.errors import RpmaskError, RunFailed


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The only hub that there is."""
    with stand_in() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        close_session()
        yield found
        close_session()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(f'from_pretrained("{UNNAMED}")\nA sentence of my own.\n')
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_the_folder_arrives_under_its_name(hub: Hub, folder: Path) -> None:
    check_repository("org/pruned")
    page = upload(folder, "org/pruned", private=True)
    assert page == f"{hub.address}/org/pruned"
    files = hub.repositories["org/pruned"]
    assert {name: files[name] for name in files if name != ".gitattributes"} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert files["README.md"] == b'from_pretrained("org/pruned")\nA sentence of my own.\n'
    assert hub.private["org/pruned"]


def test_an_upload_to_a_repository_that_exists_adds_to_it(hub: Hub, folder: Path) -> None:
    hub.repositories["org/pruned"] = {"kept.txt": b"kept", "config.json": b"old"}
    upload(folder, "org/pruned", private=False)
    assert hub.repositories["org/pruned"]["kept.txt"] == b"kept"
    assert hub.repositories["org/pruned"]["config.json"] == b"{}"


@pytest.mark.parametrize("name", ["pruned", "org/a/b", "org/with space", "/pruned", "org/"])
def test_a_name_that_is_none(hub: Hub, name: str) -> None:
    with pytest.raises(RpmaskError, match="not the name of a repository") as refused:
        check_repository(name)
    assert "ORG/NAME" in refused.value.hint


def test_without_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(RpmaskError, match="needs a token, and there is none") as refused:
        check_repository("org/pruned")
    assert "hf auth login" in refused.value.hint


def test_a_token_that_is_not_accepted(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RpmaskError, match="does not accept the token") as refused:
        check_repository("org/pruned")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/repos/create", 401, "does not accept the token"),
        ("/api/repos/create", 403, "may not write to 'org/pruned'"),
        ("/api/repos/create", 404, "has no 'org/pruned'"),
        ("/commit/", 403, "may not write to 'org/pruned'"),
        ("/commit/", 422, "The hub answered 422"),
    ],
)
def test_a_refused_upload(hub: Hub, folder: Path, path: str, status: int, says: str) -> None:
    hub.refusals[path] = status
    with pytest.raises(RpmaskError, match=says) as refused:
        upload(folder, "org/pruned", private=False)
    assert refused.value.hint


def test_a_card_that_the_hub_refuses(hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nmodel-index: broken\n---\n")
    with pytest.raises(RpmaskError, match="model-index is no list") as refused:
        upload(folder, "org/pruned", private=False)
    assert refused.value.hint == "Correct README.md."


def test_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunFailed, match="The hub cannot be reached") as failed:
        check_repository("org/pruned")
    assert "Leave --repo out" in failed.value.hint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RunFailed, match="offline mode is on"):
        check_repository("org/pruned")


def test_a_connection_that_breaks(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunFailed, match="connection to the hub failed"):
        upload(folder, "org/pruned", private=False)
