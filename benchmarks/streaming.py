"""A decoder pruned with one block in memory, by its number of blocks.

    python benchmarks/streaming.py --folder EMPTY    # writes benchmarks/streaming.json

Llamas of random weights are written to the folder, all as wide as one of 1.3 billion weights, which has 24
blocks. A second process calibrates each on random tokens, draws the mask, and refits it, as `rpmask run
--epochs 0` does for one candidate. Its memory is that which no file holds (RssAnon): weights read from a file
are mapped, and the system may forget them. Seconds are the processor's. A number of blocks that the file has
already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rpmask
from rpmask.files import write_whole
from rpmask.heads.splits import Encoded
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.weights import find_prunable, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import ROW_ALLOCATION, MaskRecipe
from rpmask.tasks.registry import get_spec
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches

SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 5504,
    "num_attention_heads": 16,
    "vocab_size": 32000,
    "tie_word_embeddings": True,
}
BLOCKS, TOKENS = 8, 256
SPARSITY = 0.5
GIB = 1 << 30


def write_model(folder: Path, layers: int) -> None:
    """A Llama of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE, num_hidden_layers=layers)).save_pretrained(folder)


class Memory:
    """The most memory that the process had which no file holds."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            time.sleep(0.02)

    def now(self) -> int:
        (found,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found) * 1024

    def since(self) -> float:
        """In GiB; and begin anew."""
        most, self.most = self.most, 0
        return round(most / GIB, 2)


def prune(folder: Path) -> dict[str, Any]:
    """Calibrate, draw, refit; memory and seconds of each."""
    memory, spec = Memory(), get_spec("wikitext2")
    ids = np.random.default_rng(0).integers(0, SHAPE["vocab_size"], (BLOCKS, TOKENS))
    features = [{"input_ids": row, "labels": row} for row in ids.tolist()]
    data = Encoded(features, np.arange(BLOCKS), {"input_ids": 0, "labels": 0})
    model = load_classifier(str(folder), spec)
    tensors = find_prunable(model)
    found: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loaded": {"gib": memory.since()},
    }
    started = time.process_time()
    names = [tensor.name for tensor in tensors]
    known = calibrate(model, data, spec, names, ["wanda", "sparsegpt"], seed=0, observer=Silent())
    found["calibrate"] = {"seconds": since(started), "gib": memory.since()}
    source = SafetensorsWeights(str(folder))
    started = time.process_time()
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=0,
        sparsity=SPARSITY,
        temperature=0.0,
        importance="wanda",
        importance_digest=known["wanda"].digest,
        allocation=ROW_ALLOCATION,
    )
    mask = draw_mask(recipe, source, tensors, statistics=known)
    found["draw"] = {"seconds": since(started), "gib": memory.since()}
    started = time.process_time()
    refit(model, mask, refit_batches(data, BLOCKS, 0), Silent(), folder=folder)
    found["refit"] = {"seconds": since(started), "gib": memory.since()}
    return found


def since(started: float) -> float:
    return round(time.process_time() - started, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--layers", nargs="+", type=int, default=[2, 4, 24])
    parser.add_argument("--prune", action="store_true", help="what the second process does")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    if asked.prune:
        print("found " + json.dumps(prune(asked.folder)))
        return
    measured = json.loads(asked.out.read_text())["models"] if asked.out.exists() else []
    for layers in asked.layers:
        if layers in [one["layers"] for one in measured]:
            continue
        folder = asked.folder / f"{layers}-blocks"
        if not (folder / "config.json").exists():
            write_model(folder, layers)
        done = subprocess.run(
            [sys.executable, __file__, "--folder", str(folder), "--prune"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        measured.append({"layers": layers, **json.loads(done.stdout.rpartition("found ")[2])})
        document = {
            "command": "python benchmarks/streaming.py --folder EMPTY",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
            "shape": SHAPE,
            "calibration": {"blocks": BLOCKS, "tokens": TOKENS},
            "threads": torch.get_num_threads(),
            "models": sorted(measured, key=lambda one: one["layers"]),
        }
        write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())
        print(json.dumps(measured[-1]), flush=True)


if __name__ == "__main__":
    main()
