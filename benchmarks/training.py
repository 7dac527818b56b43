"""What holding a mask and distilling cost, beside the same Trainer step without them.

    python benchmarks/training.py --model FOLDER        # writes benchmarks/training.json

One Trainer takes every kind of step in turn on batches of one shape: plain, masked, distilled (the default
terms), that with frozen embeddings, and the paper's distillation (attention maps too). A slow second of the
machine so falls on neighbours, and each kind is compared with the plain step of its own round. In a last
round, which is not timed, every allocation is counted: how far a step rises above where it began. Seconds
are the processor's on one thread, which others on the machine hardly touch; those of the clock stand beside
them. The figures in the docs are of a 6-layer, 384-wide BERT.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scipy.stats import t as student

from rpmask.files import write_whole
from rpmask.heads.splits import Encoded
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.records import MaskRecipe
from rpmask.tasks.registry import get_spec
from rpmask.train.masked_trainer import MaskedTrainer
from rpmask.train.models import load_classifier
from rpmask.train.parameters import frozen_embeddings
from rpmask.train.plan import LABELS_ONLY, Distillation
from rpmask.train.teacher import LiveTeacher, Numbered, RowCachedTeacher, cache_rows

TASK = get_spec("sst2")
WARM_UP = 2  # rounds that are not counted


@dataclass(frozen=True)
class Kind:
    """One kind of step. Attention maps need the eager implementation of attention."""

    masked: bool = False
    terms: Distillation = LABELS_ONLY
    kept: bool = False  # the teacher's answers were kept before
    frozen: bool = False  # the embeddings keep their values
    attention: str = "sdpa"


KINDS = {
    "plain": Kind(),
    "masked": Kind(masked=True),
    "masked, default distillation": Kind(masked=True, terms=Distillation(), kept=True),
    "masked, default distillation, frozen embeddings": Kind(
        masked=True, terms=Distillation(), kept=True, frozen=True
    ),
    "masked, teacher asked": Kind(masked=True, terms=Distillation()),
    "masked, paper's distillation": Kind(masked=True, terms=PAPER_TERMS, attention="eager"),
}


def batches(rows: int, tokens: int, vocabulary: int) -> Encoded:
    """Rows of random tokens, all of one length: only the arithmetic counts."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, vocabulary, (rows, tokens)).tolist()
    features = [{"input_ids": row, "attention_mask": [1] * tokens} for row in ids]
    return Encoded(features, rng.integers(0, 2, rows), {"input_ids": 0, "attention_mask": 0})


class Allocations:
    """Follows what is allocated and freed while it is on."""

    def __init__(self) -> None:
        self._profile = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        )
        self._profile.start()

    def peak(self) -> int:
        """Stop, and say how many bytes more were in use at the height than at the start."""
        self._profile.stop()
        events = self._profile.profiler.kineto_results.events()  # type: ignore[union-attr]
        changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
        return max(accumulate(change for _, change in changes))


class InTurn(transformers.TrainerCallback):
    """Makes each step of another kind and measures it; every second round goes backwards."""

    def __init__(
        self, hold: MaskHold, networks: list[Any], kept: RowCachedTeacher, rounds: int
    ) -> None:
        self.trainer: MaskedTrainer | None = None
        self.seconds: dict[str, list[float]] = {name: [] for name in KINDS}
        self.clock: dict[str, list[float]] = {name: [] for name in KINDS}
        self.peaks: dict[str, int] = {}
        self._hold, self._networks, self._kept, self._rounds = hold, networks, kept, rounds
        self._within = ExitStack()
        self._allocations: Allocations | None = None

    def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        names = list(KINDS)
        turn, place = divmod(state.global_step, len(names))
        self._name = names[place] if turn % 2 else names[-1 - place]
        kind = KINDS[self._name]
        for network in self._networks:
            network.set_attn_implementation(kind.attention)
        assert self.trainer is not None
        self.trainer._terms = kind.terms
        self.trainer._teacher = None
        if kind.terms.needs_teacher:
            asked = LiveTeacher(self._networks[1], kind.terms)
            self.trainer._teacher = self._kept if kind.kept else asked
        if kind.masked:
            self._within.enter_context(self._hold.gradients_masked())
        if kind.frozen:
            self._within.enter_context(frozen_embeddings(self._networks[0]))
        if turn == self._rounds:
            self._allocations = Allocations()
        self._started = time.process_time(), time.perf_counter()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        if KINDS[self._name].masked:
            self._hold.apply()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self._allocations is None:
            processor, clock = self._started
            self.seconds[self._name].append(time.process_time() - processor)
            self.clock[self._name].append(time.perf_counter() - clock)
        else:
            self.peaks[self._name] = self._allocations.peak()
        self._within.close()


def measure(
    network: Any, teacher: Any, hold: MaskHold, data: Encoded, batch: int, rounds: int
) -> InTurn:
    """Train a step of every kind in each round."""
    kept = cache_rows(teacher, data, Distillation())
    assert kept is not None
    turns = InTurn(hold, [network, teacher], kept, rounds + WARM_UP)
    numbered = Numbered(data)
    with tempfile.TemporaryDirectory() as folder:
        turns.trainer = MaskedTrainer(
            model=network,
            args=transformers.TrainingArguments(
                output_dir=folder,
                max_steps=(rounds + WARM_UP + 1) * len(KINDS),
                per_device_train_batch_size=batch,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=False,
            ),
            train_dataset=numbered,
            data_collator=numbered.collate,
            callbacks=[turns],
            task=TASK,
            terms=LABELS_ONLY,
            hold=hold,
        )
        turns.trainer.remove_callback(transformers.PrinterCallback)
        turns.trainer.train()
    return turns


def ratio(times: list[float], plain: list[float]) -> dict[str, float]:
    """Geometric mean of the rounds' ratios with its 95 % t interval, and the median."""
    logs = np.log(np.array(times) / np.array(plain))
    half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
    mean = float(logs.mean())
    found = {"ratio": mean, "low": mean - half, "high": mean + half}
    exact = {name: float(np.exp(value)) for name, value in found.items()}
    return {**exact, "median": float(np.exp(np.median(logs)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="a local encoder; the demo's by default")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    network = load_classifier(asked.model, TASK)
    teacher = load_classifier(asked.model, TASK).eval().requires_grad_(False)
    data = batches(asked.batch * 16, asked.tokens, network.config.vocab_size)
    tensors, weights = find_prunable(network), TensorWeights(network)
    recipe = MaskRecipe(weights_digest(weights, tensors), seed=0, sparsity=0.9375, temperature=0.0)
    hold = MaskHold(network, draw_mask(recipe, weights, tensors))
    turns = measure(network, teacher, hold, data, asked.batch, asked.rounds)
    peaks = turns.peaks
    seconds, clock = (
        {name: times[WARM_UP:] for name, times in kept.items()}
        for kept in (turns.seconds, turns.clock)
    )
    report = {
        "command": f"python benchmarks/training.py --model FOLDER --rounds {asked.rounds}",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": asked.threads,
        },
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "batch": asked.batch,
        "tokens": asked.tokens,
        "bytes": {
            "embeddings": sum(
                table.weight.numel() * table.weight.element_size()
                for table in network.modules()
                if isinstance(table, torch.nn.Embedding)
            ),
            "one bool a prunable weight": sum(tensor.numel for tensor in tensors),
            "teacher": sum(p.numel() * p.element_size() for p in teacher.parameters()),
            "step_peak": peaks,
            "above_plain": {name: peak - peaks["plain"] for name, peak in peaks.items()},
        },
        "median_seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "ratio_to_plain": {name: ratio(times, seconds["plain"]) for name, times in seconds.items()},
        "ratio_to_plain_by_the_clock": {
            name: ratio(times, clock["plain"]) for name, times in clock.items()
        },
        "seconds": {name: [round(one, 4) for one in times] for name, times in seconds.items()},
    }
    write_whole(asked.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps({key: report[key] for key in ("ratio_to_plain", "bytes")}, indent=1))


if __name__ == "__main__":
    main()
