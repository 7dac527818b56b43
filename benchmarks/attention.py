"""Which implementation of attention makes a training step fastest, by precision and by the length of rows?

    python benchmarks/attention.py        # writes benchmarks/attention.json

A 6-layer, 384-wide BERT of random weights and frozen embeddings takes steps of AdamW on random tokens, with
the fused attention and with plain products in turn. Seconds are the processor's, on one thread, and a ratio
is of neighbours: the median over rounds of the fused step's time to the plain one's after it.
`rpmask/train/attention.py` chooses by what is found here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from rpmask.files import write_whole
from rpmask.train.parameters import frozen_embeddings

SHAPES = ((32, 16), (32, 64), (16, 128), (8, 256), (4, 512))  # rows and tokens of a step
PRECISIONS = ("fp32", "bf16")
WAYS = {"fused": "sdpa", "plain": "eager"}


def seconds(
    model: Any, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], narrow: bool
) -> float:
    """Of one step."""
    begun = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - begun


def measure(rounds: int) -> list[dict[str, Any]]:
    """A line for each precision and shape."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).train()
    found = []
    with frozen_embeddings(model):
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        for precision in PRECISIONS:
            for rows, tokens in SHAPES:
                batch = {
                    "input_ids": torch.randint(1, config.vocab_size, (rows, tokens)),
                    "attention_mask": torch.ones(rows, tokens, dtype=torch.long),
                    "labels": torch.randint(0, 2, (rows,)),
                }
                times: dict[str, list[float]] = {way: [] for way in WAYS}
                for turn in range(rounds + 1):
                    for way, implementation in WAYS.items():
                        model.set_attn_implementation(implementation)
                        taken = seconds(model, optimizer, batch, precision == "bf16")
                        if turn:  # the first one warms up
                            times[way].append(taken)
                ratios = [a / b for a, b in zip(times["fused"], times["plain"], strict=True)]
                found.append(
                    {
                        "precision": precision,
                        "rows": rows,
                        "tokens": tokens,
                        "ms": {w: round(1000 * statistics.median(t), 1) for w, t in times.items()},
                        "fused_to_plain": round(statistics.median(ratios), 3),
                        "ratios": [round(ratio, 3) for ratio in ratios],
                    }
                )
                print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "command": "python benchmarks/attention.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "steps": measure(arguments.rounds),
    }
    write_whole(arguments.out, (json.dumps(report, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
