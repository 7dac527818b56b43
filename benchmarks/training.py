"""What holding a mask and distilling cost, beside the same Trainer step without them.

    python benchmarks/training.py --model FOLDER        # writes benchmarks/training.json

Plain, masked, distilled (the default terms) and the paper's distillation (attention maps too) take turns
on the same batches, so a slow minute of the machine falls on all of them; the ratios are medians over the
turns. The model is any local encoder; the figures in the docs are of a 6-layer, 384-wide BERT.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from rpmask.files import write_whole
from rpmask.learn.batches import Encoded
from rpmask.learn.models import load_classifier
from rpmask.learn.plan import LABELS_ONLY, PAPER_TERMS, Distillation
from rpmask.learn.trainer import MaskedTrainer, MaskKeeper
from rpmask.masks.masked import MaskHold
from rpmask.masks.sampling import draw_mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.records import MaskRecipe
from rpmask.tasks.registry import get_spec

TASK = get_spec("sst2")


def batches(rows: int, tokens: int, vocabulary: int) -> Encoded:
    """Rows of random tokens, all of one length: only the arithmetic counts."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, vocabulary, (rows, tokens)).tolist()
    features = [{"input_ids": row, "attention_mask": [1] * tokens} for row in ids]
    return Encoded(features, rng.integers(0, 2, rows), {"input_ids": 0, "attention_mask": 0})


class StepTimes(transformers.TrainerCallback):
    """Seconds of every optimizer step, the first two of a turn left out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        if state.global_step > 2:
            self.seconds.append(time.perf_counter() - self._started)


def turn(
    model: torch.nn.Module,
    teacher: torch.nn.Module | None,
    hold: MaskHold | None,
    terms: Distillation,
    data: Encoded,
    batch: int,
    steps: int,
) -> float:
    """Median seconds of a step over one short training."""
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        callbacks = [times] + ([MaskKeeper(hold)] if hold is not None else [])
        trainer = MaskedTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=data.collate,
            callbacks=callbacks,
            task=TASK,
            terms=terms,
            teacher=teacher,
            hold=hold,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        if hold is None:
            trainer.train()
        else:
            with hold.gradients_masked():
                trainer.train()
    return statistics.median(times.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="a local encoder; the demo's by default")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model = load_classifier(asked.model, TASK)
    eager = load_classifier(asked.model, TASK, attentions=True)
    teacher = load_classifier(asked.model, TASK).eval().requires_grad_(False)
    eager_teacher = load_classifier(asked.model, TASK, attentions=True).eval().requires_grad_(False)
    data = batches(asked.batch * asked.steps, asked.tokens, model.config.vocab_size)
    tensors = find_prunable(model)
    weights = TensorWeights(model)
    digest = weights_digest(weights, tensors)
    recipe = MaskRecipe(weights_digest=digest, seed=0, sparsity=0.9375, temperature=0.0)
    mask = draw_mask(recipe, weights, tensors)
    variants: dict[str, Any] = {
        "plain": (model, None, None, LABELS_ONLY),
        "masked": (model, None, MaskHold(model, mask), LABELS_ONLY),
        "masked, default distillation": (model, teacher, MaskHold(model, mask), Distillation()),
        "masked, paper's distillation": (eager, eager_teacher, MaskHold(eager, mask), PAPER_TERMS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(asked.turns):
        for name, (network, dense, hold, terms) in variants.items():
            spent = turn(network, dense, hold, terms, data, asked.batch, asked.steps)
            seconds[name].append(spent)
            print(f"turn {number + 1}: {name} {spent:.3f} s", flush=True)
    ratios = {
        name: statistics.median(a / b for a, b in zip(times, seconds["plain"], strict=True))
        for name, times in seconds.items()
    }
    report = {
        "command": f"python benchmarks/training.py --model FOLDER --turns {asked.turns}",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": asked.threads,
        },
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "batch": asked.batch,
        "tokens": asked.tokens,
        "pruned_weights": sum(tensor.numel for tensor in tensors),
        "seconds": seconds,
        "ratio_to_plain": ratios,
        "mask_bytes_in_memory": sum(tensor.numel for tensor in tensors),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    write_whole(asked.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
