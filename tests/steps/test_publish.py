"""`export --to hub`: a folder with a model card that keeps its promises, and its way to the hub and back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import answer, clean_environment, rpmask
from deploy.hub_server import TOKEN, Hub, stand_in
from huggingface_hub import ModelCard
from mlflow import MlflowClient

import rpmask as package
from rpmask.deploy.manifest import open_export
from rpmask.masks.packed_format import load_mask

Road = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(road: Road) -> Path:
    """Without a network."""
    made = answer(["export", "--to", "hub", "--out", "deploy/hub", "--rows", "8"], road[0])
    assert made["format"] == "dense"
    return road[0] / made["path"]


def test_the_card_has_metrics_evidence_and_commands(folder: Path, road: Road) -> None:
    card = ModelCard.load(folder / "README.md")
    last = road[1]["levels"][-1]
    (accuracy,) = card.data.eval_results
    assert accuracy.metric_type == "accuracy"
    assert accuracy.metric_value == last["finetune"]["dev"]["accuracy"]
    assert card.data.pipeline_tag == "text-classification"
    assert f"`{last['select']['verdict']}`" in card.text
    assert f"{last['select']['effect']:.4f}" in card.text
    assert "93.75% of its prunable weights are zero" in card.text
    assert "rpmask run --config run.yaml" in card.text


def test_the_folder_is_whole_and_its_card_may_be_edited(folder: Path) -> None:
    manifest = open_export(folder)
    assert load_mask(folder / "mask.safetensors").digest == manifest.mask_digest
    card = folder / "README.md"
    before = card.read_text()
    card.write_text(f"{before}\nA sentence of mine.\n")
    assert package.load(folder).predict([("the chef stirred the soup", "somebody is cooking")])
    card.write_text(before)


def test_the_run_file_makes_the_same_run(folder: Path, road: Road) -> None:
    """The pipeline is found to have finished: its key is the same."""
    again = answer(["run", "--config", str(folder / "run.yaml")], road[0])
    assert again["run_id"] == road[1]["run_id"]
    assert again["reused"]


@pytest.fixture(scope="module")
def hub() -> Any:
    with stand_in() as found:
        yield found


def environment(hub: Hub, home: Path) -> dict[str, str]:
    switches = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HOME": str(home), **switches}


def test_the_card_of_an_uploaded_model_loads_it(
    folder: Path, road: Road, hub: Hub, tmp_path: Path
) -> None:
    """The snippets of the card that arrived, as they are written there."""
    command = ["export", "--to", "hub", "--out", "deploy/hub", "--rows", "8"]
    env = environment(hub, tmp_path)
    sent = answer([*command, "--repo", "org/sparse-demo"], road[0], env, cold=True)
    assert sent["reused"]
    assert sent["page"] == f"{hub.address}/org/sparse-demo"
    files = hub.repositories["org/sparse-demo"]
    assert {path.name for path in folder.iterdir()} <= set(files)
    text = files["README.md"].decode()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ask = 'print(model.predict([("the chef stirred the soup", "somebody is cooking")]))'
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*blocks, ask])],
        cwd=tmp_path,
        env={**clean_environment(), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    zeros, answered = done.stdout.splitlines()
    mask = load_mask(folder / "mask.safetensors")
    assert int(zeros.split()[0].replace(",", "")) >= mask.total() - mask.kept()
    assert "label" in answered


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--to", "packed", "--repo", "org/x"], "--repo and --private are for --to hub"),
        (["--to", "hub", "--private"], "--repo and --private are for --to hub"),
        (["--to", "hub", "--repo", "x"], "'x' is not the name of a repository"),
    ],
)
def test_options_that_do_not_fit(road: Road, options: list[str], says: str) -> None:
    done = rpmask(["export", *options], road[0])
    assert done.returncode == 2
    assert says in done.stderr


def test_a_mask_that_was_only_selected_has_no_card(road: Road, client: MlflowClient) -> None:
    done = rpmask(["export", "models:/rpmask-demo@selected", "--to", "hub"], road[0])
    assert done.returncode == 2
    assert "it has no metrics on dev" in done.stderr
