"""Whether bf16 makes a whole training faster, and whether the result is fp32's within noise.

    RPMASK_GLUE_DIR=FOLDER python benchmarks/precision.py --model ENCODER   # writes benchmarks/precision.json

A dense model is trained on SST-2 and then held to a mask with the default distillation, as `finetune` does,
in both precisions in turn from the same start, with several seeds. Seconds are the processor's over the
whole training, on one thread: steps, evaluations and checkpoints. Accuracy and loss are on dev; noise is what
another seed does in fp32.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from rpmask.files import write_whole
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.inputs import Prepared, prepare
from rpmask.tasks.registry import load_task
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, TrainPlan
from rpmask.train.precision import bf16_speed
from rpmask.train.trainer import train

PRECISIONS = ("fp32", "bf16")


def interval(values: list[float]) -> dict[str, float]:
    """Mean and 95 % t interval."""
    mean = statistics.fmean(values)
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


def fit(
    prepared: Prepared, start: str, plan: TrainPlan, save: Path | None, sparsity: float
) -> dict[str, Any]:
    """One training, measured on dev; dense where the sparsity is 0, and then saved if asked."""
    spec = prepared.spec
    model = load_classifier(start, spec, seed=plan.seed)
    mask, teacher = None, None
    if sparsity:
        tensors, weights = find_prunable(model), TensorWeights(model)
        digest = weights_digest(weights, tensors)
        mask = draw_mask(
            MaskRecipe(digest, seed=0, sparsity=sparsity, temperature=0.0), weights, tensors
        )
        teacher = load_classifier(start, spec)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        found = train(
            model, mask, teacher, prepared.train, prepared.selection, spec, plan, Path(folder), Silent()
        )  # fmt: skip
    seconds = time.process_time() - begun
    if save is not None:
        model.save_pretrained(save)
        prepared.tokenizer.save_pretrained(save)
    outcome = evaluate(model, prepared.dev()["dev"], spec)
    return {
        "precision": plan.precision,
        "seed": plan.seed,
        "steps": found.steps,
        "seconds": round(seconds, 2),
        "clock_seconds": round(found.seconds, 2),
        "loss": outcome.loss,
        "accuracy": outcome.metrics["accuracy"],
    }


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """bf16 against fp32 by seed; noise is the standard deviation of fp32 over seeds."""
    single, half = ([run for run in runs if run["precision"] == p] for p in PRECISIONS)
    pairs = list(zip(single, half, strict=True))
    speed = interval([float(np.log(a["seconds"] / b["seconds"])) for a, b in pairs])
    return {
        "speed": {name: float(np.exp(value)) for name, value in speed.items()},
        "bf16_minus_fp32": {
            name: interval([b[name] - a[name] for a, b in pairs]) for name in ("accuracy", "loss")
        },
        "fp32_over_seeds": {
            name: {
                "mean": statistics.fmean(run[name] for run in single),
                "deviation": statistics.stdev(run[name] for run in single),
            }
            for name in ("accuracy", "loss")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a local encoder, or demo")
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--train-rows", type=int, default=1600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    choice = DataChoice(train_rows=asked.train_rows, selection_rows=200)
    prepared = prepare(load_task(asked.task, choice), choice, asked.model)
    plan = TrainPlan(epochs=1.0, evaluations=2, threads=asked.threads)
    probed = bf16_speed()
    with tempfile.TemporaryDirectory() as dense:
        first = replace(plan, learning_rate=5e-5, distill=LABELS_ONLY)
        fit(prepared, asked.model, first, Path(dense), sparsity=0.0)
        runs = []
        for seed in range(asked.seeds):
            order = PRECISIONS if seed % 2 else PRECISIONS[::-1]
            for precision in order:
                chosen = replace(plan, seed=seed, precision=precision)
                runs.append(fit(prepared, dense, chosen, None, sparsity=0.8))
                print(json.dumps(runs[-1]), flush=True)
    report = {
        "command": f"python benchmarks/precision.py --model ENCODER --task {asked.task} "
        f"--train-rows {asked.train_rows} --seeds {asked.seeds}",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": asked.threads,
        },
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "plan": plan.to_dict(),
        "bf16_speed_of_the_trial": probed,
        **compare(runs),
        "runs": runs,
    }
    write_whole(asked.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps({key: report[key] for key in ("speed", "bf16_minus_fp32", "fp32_over_seeds")}))


if __name__ == "__main__":
    main()
