"""A decoder of 1.3 billion weights, pruned with one block in memory.

    python benchmarks/streaming.py --folder EMPTY    # writes benchmarks/streaming.json; 6 GB of disk

A Llama of random weights is written to the folder. Then a second process calibrates on random tokens, draws
the mask, and refits it, as `rpmask run --epochs 0` does for one candidate. Its memory is that which no file
holds (RssAnon): weights read from a file are mapped, and the system may forget them. Each block's seconds
are those between two reports of progress.
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
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vocab_size": 32000,
    "tie_word_embeddings": True,
}
BLOCKS, TOKENS = 8, 256
SPARSITY = 0.5
GIB = 1 << 30


def write_model(folder: Path) -> None:
    """A Llama of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(folder)


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


class Clock(Silent):
    """The time of every report of progress."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def progress(self, *_: Any) -> None:
        self.times.append(time.perf_counter())


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
    clock = Clock()
    names = [tensor.name for tensor in tensors]
    known = calibrate(model, data, spec, names, ["wanda", "sparsegpt"], seed=0, observer=clock)
    found["calibrate"] = {"seconds": seconds(clock), "gib": memory.since()}
    source = SafetensorsWeights(str(folder))
    started = time.perf_counter()
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
    found["draw"] = {"seconds": round(time.perf_counter() - started, 1), "gib": memory.since()}
    clock = Clock()
    refit(model, mask, refit_batches(data, BLOCKS, 0), clock, folder=folder)
    steps = np.diff(clock.times)
    found["refit"] = {
        "seconds": seconds(clock),
        "gib": memory.since(),
        "block_seconds": [round(float(step), 1) for step in steps],
    }
    return found


def seconds(clock: Clock) -> float:
    return round(clock.times[-1] - clock.times[0], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--prune", action="store_true", help="what the second process does")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    if asked.prune:
        print("found " + json.dumps(prune(asked.folder)))
        return
    if not (asked.folder / "config.json").exists():
        write_model(asked.folder)
    done = subprocess.run(
        [sys.executable, __file__, "--folder", str(asked.folder), "--prune"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    document = {
        "command": "python benchmarks/streaming.py --folder EMPTY",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
        "shape": SHAPE,
        "calibration": {"blocks": BLOCKS, "tokens": TOKENS},
        "threads": torch.get_num_threads(),
        **json.loads(done.stdout.rpartition("found ")[2]),
    }
    write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
