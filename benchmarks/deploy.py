"""What the exported forms weigh, how fast they load and answer, on a model of BERT-base's shape.

    python benchmarks/deploy.py        # writes benchmarks/deploy.json

The weights are random: neither sizes nor times depend on what a model knows. Two models are made: one at
93.75 % of single weights, for the packed and CSR forms, and one without half of its neurons and heads, for
the compact form. Runtimes take turns on the same inputs with one thread. A decoder of 135 million weights,
of SmolLM2-135M's shape, answers token by token.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
)

from rpmask.deploy import compact, csr, csr_routes, packed
from rpmask.deploy.bench import bench, random_batch
from rpmask.deploy.build import dense_bytes, empty_model, fill
from rpmask.deploy.exported import on_cpu
from rpmask.deploy.manifest import VALUES
from rpmask.deploy.measure import interleaved, pinned
from rpmask.deploy.roofline import measure
from rpmask.deploy.runtimes import CSR, DENSE, Runtimes, runtimes_of
from rpmask.files import write_whole
from rpmask.heads.classification import CLASSIFICATION
from rpmask.masks.banks import head_banks, neuron_banks
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, find_prunable

SPARSITY = 0.9375
NAMES = ("input_ids", "attention_mask", "token_type_ids")
LOADS = 5
PROMPT, TOKENS = 32, 30


def bert_base() -> torch.nn.Module:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig()).eval()


def decoder() -> torch.nn.Module:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def unstructured(model: torch.nn.Module) -> Mask:
    """A mask of single weights, drawn evenly, put on the model."""
    random = np.random.default_rng(0)
    keep = {}
    for tensor in find_prunable(model):
        flat = np.zeros(tensor.numel, np.bool_)
        kept = round((1 - SPARSITY) * tensor.numel)
        flat[random.choice(tensor.numel, kept, replace=False)] = True
        keep[tensor.name] = flat.reshape(tensor.shape)
    mask = Mask.from_bools(keep)
    MaskHold(model, mask).apply()
    return mask


def halved(model: torch.nn.Module) -> torch.nn.Module:
    """The model under a mask that drops every other neuron and every other head."""
    tensors = find_prunable(model, ("*",))
    keep: dict[str, Any] = {}
    for bank in (*neuron_banks(tensors), *head_banks(tensors)):
        keep.update(bank.spread(np.arange(bank.units) % 2 == 0))
    MaskHold(model, Mask.from_bools(keep)).apply()
    return model


def sizes_and_loading(model: torch.nn.Module, mask: Mask) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model.config.save_pretrained(place)
        for values in VALUES:
            sizes = packed.write(model, mask, place / packed.FILE, values)
            seconds = []
            for _ in range(LOADS):
                started = time.perf_counter()
                state, _ = packed.read(place / packed.FILE)
                found = fill(empty_model(place, CLASSIFICATION), state, place)
                seconds.append(time.perf_counter() - started)
            inputs = random_batch(8, 128, 30000, NAMES)
            with torch.inference_mode():
                difference = (found(**inputs).logits - model(**inputs).logits).abs().max()
            rows.append(
                {
                    "values": values,
                    "bytes": (place / packed.FILE).stat().st_size,
                    "dense_bytes": dense_bytes(model),
                    "largest_matrix_ratio": max(
                        sizes.stored[name] / sizes.dense[name] for name in sizes.stored
                    ),
                    "load_seconds_median": statistics.median(seconds),
                    "load_seconds_longest": max(seconds),
                    "max_abs_diff": float(difference),
                }
            )
    return rows


def timed_runtimes(model: torch.nn.Module, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as work:
        found = runtimes_of(model, random_batch(2, 8, 30000, NAMES), Path(work))
        grid = ((1, 32), (1, 128), (8, 128))
        limits = measure(model)
        rows = bench(found, grid, vocabulary=30000, names=NAMES, seconds=seconds, roofline=limits)
    return {
        "rows": [row.to_dict() for row in rows],
        "absent": found.absent,
        "roofline": limits.to_dict(),
    }


def timed_decoding(seconds: float) -> dict[str, Any]:
    """The time of the next token after a prompt, with the keys and values of the prompt kept."""
    dense = decoder()
    mask = unstructured(dense)
    routes = dict.fromkeys(mask.names, csr.ROWS[-1])
    models = {DENSE: dense, CSR: csr.install(copy.deepcopy(dense), routes)}
    prompt = torch.from_numpy(np.random.default_rng(0).integers(0, 49152, (1, PROMPT)))
    limits = measure(dense)
    calls, logits = {}, {}
    with torch.inference_mode():
        for name, model in models.items():
            cache = DynamicCache(config=model.config)
            model(input_ids=prompt, past_key_values=cache, use_cache=True)
            calls[name] = partial(_next_token, model, cache)
            logits[name] = calls[name]()
        times = interleaved(calls, repeats=TOKENS, seconds=seconds)
    return {
        "parameters": sum(p.numel() for p in dense.parameters()),
        "rows": [
            {
                "runtime": name,
                "ms_median": timing.median_ms,
                "ms_p95": timing.p95_ms,
                "least_ms": limits.least_ms(name, 1),
                "speedup": times[DENSE].median_ms / timing.median_ms,
                "max_abs_diff": float((logits[name] - logits[DENSE]).abs().max()),
                "repeats": timing.repeats,
            }
            for name, timing in times.items()
        ],
    }


def _next_token(model: torch.nn.Module, cache: DynamicCache) -> torch.Tensor:
    """The cache grows by a token at each call, of all runtimes alike."""
    return model(input_ids=torch.tensor([[5]]), past_key_values=cache, use_cache=True).logits


def timed_compact(model: torch.nn.Module, seconds: float) -> dict[str, Any]:
    smaller, cut = compact.shrink(model)
    found = Runtimes({DENSE: on_cpu(model), "compact": on_cpu(smaller)})
    rows = bench(found, ((1, 32), (8, 128)), vocabulary=30000, names=NAMES, seconds=seconds)
    return {
        "cut": str(cut),
        "bytes": dense_bytes(smaller),
        "dense_bytes": dense_bytes(model),
        "rows": [row.to_dict() for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--seconds", type=float, default=12.0, help="spent on each shape")
    chosen = parser.parse_args()
    with pinned(1):
        sparse = bert_base()
        mask = unstructured(sparse)
        routes = csr_routes.choose_routes(sparse, mask)
        report = {
            "command": "python benchmarks/deploy.py",
            "machine": csr_routes.machine(),
            "versions": {
                name: version(name)
                for name in ("rpmask", "torch", "transformers", "onnxruntime", "openvino")
            },
            "seed": 0,
            "sparsity": SPARSITY,
            "parameters": sum(p.numel() for p in base_of(sparse).parameters()),
            "packed": sizes_and_loading(sparse, mask),
            "csr_up_to_rows": sorted(set(routes.values())),
            "runtimes": timed_runtimes(sparse, chosen.seconds),
            "decoding": timed_decoding(chosen.seconds),
            "compact": timed_compact(halved(bert_base()), chosen.seconds),
        }
    write_whole(chosen.out, json.dumps(report, indent=1).encode() + b"\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
