"""A real decoder from the pool to the server: raced, trained, exported, and the same continuation everywhere.

    python benchmarks/decoder_walk.py --model FOLDER --data-dir wikitext-2    # writes decoder_walk.json

FOLDER is SmolLM2-135M in fp32; the other folder holds train.txt and dev.txt of WikiText-2, of which the
beginnings are used. One `rpmask run` draws four masks at 50 %, races them, and trains the selected one for
100 steps with distillation. The dense perplexity that it reports is compared with a plain loop's, and the
greedy continuations of the trained weights in memory with those of `rpmask predict` from a packed export and
of `mlflow models serve`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import rpmask
from rpmask.files import write_whole

TRAIN, DEV = 200_000, 20_000  # characters
LENGTH = 128
STEPS = 100
PROMPTS = ["The river flows through the", "In 1998 , the band released"]
NEW_TOKENS = 32  # as many as a served model adds
SECONDS = 300  # to wait for the server


def answer(command: list[str], store: Path) -> Any:
    """What an rpmask command says, run in the store's folder."""
    print(" ".join(command), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "rpmask", *command], cwd=store, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines()]


def beginning(source: Path, target: Path, characters: int) -> None:
    """The whole lines at the beginning of a text."""
    text = source.read_text(encoding="utf-8")[:characters]
    target.write_text(text[: text.rindex("\n") + 1], encoding="utf-8")


@torch.no_grad()
def plain_perplexity(model: str, text: Path) -> float:
    """The perplexity over blocks of a text, by transformers alone; the last, shorter block is left out."""
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    ids = torch.tensor(AutoTokenizer.from_pretrained(model)(text.read_text())["input_ids"])
    blocks = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, 1, LENGTH)
    losses = [float(network(block, labels=block).loss) for block in blocks]
    return math.exp(sum(losses) / len(losses))


@torch.no_grad()
def in_memory(model: str, weights: Path) -> list[str]:
    """Greedy continuations by transformers, of trained weights in the place of the dense ones."""
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    network.load_state_dict(load_file(weights), strict=False)
    network.tie_weights()
    reader = AutoTokenizer.from_pretrained(model)
    found = []
    for prompt in PROMPTS:
        given = reader(prompt, return_tensors="pt")
        ids = network.generate(**given, max_new_tokens=NEW_TOKENS, do_sample=False)
        found.append(reader.decode(ids[0, given["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


def served(uri: str, store: Path) -> list[str]:
    """What `mlflow models serve` answers over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow calls uvicorn
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    command = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=store, env=environment, start_new_session=True
    )
    rows = {"dataframe_split": {"columns": ["text"], "data": [[prompt] for prompt in PROMPTS]}}
    body = json.dumps(rows).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        ends = time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as response:
                    return [row["continuation"] for row in json.load(response)["predictions"]]
            except urllib.error.HTTPError as error:
                raise SystemExit(error.read().decode()) from error
            except OSError:
                if time.monotonic() > ends or server.poll() is not None:
                    raise
                time.sleep(1)
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("decoder-store"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    store, model = asked.store.resolve(), str(asked.model.resolve())
    texts = store / "texts"
    texts.mkdir(parents=True, exist_ok=True)
    for split, characters in (("train", TRAIN), ("dev", DEV)):
        beginning(asked.data_dir / f"{split}.txt", texts / f"{split}.txt", characters)
    (found,) = answer(
        [
            *("run", "-t", "wikitext2", "--data-dir", str(texts), "-m", model, "--one-shot"),
            *("--sparsity", "0.5", "--k", "4", "--max-length", str(LENGTH), "--batch-size", "2"),
            *("--importance", "wanda,sparsegpt", "--allocation", "row", "--budget", "0.02"),
            *("--twins", "0", "--rungs", "2", "--examples", "16", "--calibration-rows", "32"),
            *("--race-refit", "16", "--refit", "64", "--set", f"max_steps={STEPS}", "--json"),
        ],
        store,
    )
    (level,) = found["levels"]
    trained = level["finetune"]
    version = f"models:/{trained['model']['name']}/{trained['model']['version']}"
    shutil.rmtree(store / "packed", ignore_errors=True)
    (exported,) = answer(["export", version, "--to", "packed", "--out", "packed", "--json"], store)
    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    (weights,) = Path(mlflow.artifacts.download_artifacts(version)).rglob("model.safetensors")
    (store / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    asking = ["--input", "prompts.txt", "--new-tokens", str(NEW_TOKENS)]
    continuations = {
        "in memory": in_memory(model, weights),
        "packed": [row["continuation"] for row in answer(["predict", "packed", *asking], store)],
        "served": served(exported["model_uri"], store),
    }
    document = {
        "command": "python benchmarks/decoder_walk.py --model FOLDER --data-dir wikitext-2",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
        "dense": {
            "rpmask": trained["dense"]["perplexity"],
            "plain": plain_perplexity(model, texts / "dev.txt"),
        },
        "verdict": level["select"]["verdict"],
        "candidates": [
            {
                **{key: drawn[key] for key in ("importance", "temperature")},
                "distance": raced["rungs"][-1]["distance"],
            }
            for drawn, raced in zip(
                level["sample"]["candidates"], level["screen"]["candidates"], strict=True
            )
        ],
        "steps": {"race": level["screen"]["steps_spent"], "training": trained["steps"]},
        "perplexity": trained["dev"]["perplexity"],
        "export": {key: exported[key] for key in ("bytes", "dense_bytes") if key in exported},
        "continuations": continuations,
        "same": len({tuple(each) for each in continuations.values()}) == 1,
    }
    write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
