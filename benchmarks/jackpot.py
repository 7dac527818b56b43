"""How far a mask gets in frozen weights: start x restriction x norms x sparsity, and what a step costs.

Five questions, on `digits` and `demo`, one thread, several seeds (batch order, and what is drawn):

- `starts`: magnitude, random, fisher and a mask drawn around fisher, at 80, 90 and 95 %;
- `restrictions`: off, quartic and cosine from the magnitude start, with paired differences to off;
- `norms`, where the model has batch norms: frozen and re-estimated beside the published way, at 90 %;
- `speed-up`: a magnitude search of a third of the epochs against a random one (the paper's claim);
- `step`: a search step against a plain training step of the same model on the same batches.

    OMP_NUM_THREADS=1 python benchmarks/jackpot.py --task demo    # writes benchmarks/jackpot-demo.json
    OMP_NUM_THREADS=1 python benchmarks/jackpot.py --task digits --full    # every start x restriction

All accuracies are on dev, of the mask that was best on the selection split.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import nn

from rpmask.files import write_whole
from rpmask.lottery_jackpots.norms import running_statistics
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.lottery_jackpots.search import Search, UnderMask, put_on
from rpmask.lottery_jackpots.searchable import find_searchable
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import DataChoice, MaskRecipe
from rpmask.steps.context import versions
from rpmask.steps.inputs import load_data, prepare
from rpmask.steps.jackpot_request import TASK_SEARCHES
from rpmask.steps.jackpot_start import HOT
from rpmask.train.batches import calibration_rows, training_order
from rpmask.train.evaluate import evaluate
from rpmask.train.losses import example_losses
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent

STARTS = ("magnitude", "random", "fisher", "drawn")
RESTRICTIONS = ("off", "quartic", "cosine")
OTHER_NORMS = ("frozen", "reestimated")
SPARSITIES = (0.8, 0.9, 0.95)
DRAWN = {"temperature": 0.2, "sample_ratio": 1e-4, "importance": "fisher"}


@dataclass(frozen=True)
class Workload:
    """A task, how its searches are run, and over what."""

    task: str
    plan: SearchPlan
    sparsities: tuple[float, ...]
    seeds: int
    choice: DataChoice = field(default_factory=DataChoice)

    @cached_property
    def prepared(self) -> Any:
        return prepare(load_data(self.task, self.choice), self.choice, self.task)

    @cached_property
    def dev(self) -> Any:
        return next(iter(self.prepared.dev().values()))

    @cached_property
    def fisher(self) -> Statistics:
        model = self.model()
        names = [tensor.name for tensor in find_searchable(model)]
        train = self.prepared.train
        found = calibrate(
            model, train.take(calibration_rows(len(train), 256, 0)), self.prepared.spec, names,
            ["fisher"], seed=0, observer=Silent(),
        )  # fmt: skip
        return found["fisher"]

    def model(self) -> nn.Module:
        return load_classifier(self.task, self.prepared.spec)

    def accuracy(self, model: nn.Module) -> float:
        return evaluate(model, self.dev, self.prepared.spec).metrics["accuracy"]

    def start(self, kind: str, sparsity: float, seed: int) -> Mask:
        """A starting mask; all but `drawn` at layer-wise rates from one threshold of their kind."""
        model = self.model()
        tensors, source = find_searchable(model), TensorWeights(model)
        recipe = MaskRecipe(
            weights_digest(source, tensors), seed, sparsity, temperature=0.0, allocation=1.0
        )
        if kind == "random":
            recipe = replace(recipe, temperature=HOT, votes=1)
        elif kind != "magnitude":
            recipe = replace(recipe, importance="fisher", importance_digest=self.fisher.digest)
            recipe = replace(recipe, **DRAWN) if kind == "drawn" else recipe
        return draw_mask(recipe, source, tensors, statistics={"fisher": self.fisher})

    def run(self, kind: str, sparsity: float, seed: int, plan: SearchPlan) -> dict[str, Any]:
        """One search, measured on dev before and after."""
        start = self.start(kind, sparsity, seed)
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = Search(
                self.model(), start, self.prepared.train, self.prepared.selection,
                self.prepared.spec, plan, Path(folder) / "search.safetensors", Silent(),
            ).run()  # fmt: skip
        seconds = time.perf_counter() - begun
        assert found.weights_digest_before == found.weights_digest_after
        before, after = self.model(), self.model()
        put_on(before, start, found.start_statistics)
        put_on(after, found.mask, found.statistics)
        return {
            "task": self.task,
            "start": kind,
            "restriction": plan.restriction,
            "norms": plan.norm_statistics if found.statistics else "none",
            "sparsity": sparsity,
            "epochs": plan.epochs,
            "seed": seed,
            "start_accuracy": self.accuracy(before),
            "accuracy": self.accuracy(after),
            "selection_curve": [round(epoch.metric, 5) for epoch in found.epochs],
            "swaps": sum(epoch.swaps for epoch in found.epochs),
            "overlap": found.mask.overlap(start),
            "seconds": round(seconds, 2),
        }


WORKLOADS = {
    "digits": Workload("digits", TASK_SEARCHES["digits"], SPARSITIES, seeds=5),
    "demo": Workload(
        "demo",
        SearchPlan(epochs=2, batch_size=32, learning_rate=1.0),
        SPARSITIES,
        seeds=3,
        choice=DataChoice(train_rows=2000),
    ),
}


def arms(work: Workload, full: bool) -> list[tuple[str, SearchPlan, float]]:
    """Which starts are run with which restrictions and norms, at which sparsities."""
    if full:
        pairs = [(start, restriction) for start in STARTS for restriction in RESTRICTIONS]
    else:
        pairs = [(start, "quartic") for start in STARTS]
        pairs += [("magnitude", restriction) for restriction in ("off", "cosine")]
    found = [
        (start, replace(work.plan, restriction=restriction), sparsity)
        for start, restriction in pairs
        for sparsity in work.sparsities
    ]
    if running_statistics(work.model()):
        found += [
            (start, replace(work.plan, norm_statistics=norms), 0.9)
            for norms in OTHER_NORMS
            for start in ("magnitude", "random", "fisher")
        ]
    return found


def interval(values: list[float]) -> dict[str, float]:
    """Mean and 95 % t interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "low": mean, "high": mean}
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm, with paired differences to it without restriction, and with norms as published."""
    groups: dict[tuple[Any, ...], dict[int, float]] = {}
    starts: dict[tuple[Any, ...], list[float]] = {}
    for run in runs:
        key = (
            *(run["task"], run["sparsity"], run["start"]),
            *(run["restriction"], run["norms"], run["epochs"]),
        )
        groups.setdefault(key, {})[run["seed"]] = run["accuracy"]
        starts.setdefault(key, []).append(run["start_accuracy"])
    rows = []
    for key, by_seed in groups.items():
        task, sparsity, start, restriction, norms, epochs = key
        row: dict[str, Any] = {
            "task": task,
            "sparsity": sparsity,
            "start": start,
            "restriction": restriction,
            "norms": norms,
            "epochs": epochs,
            "start_accuracy": statistics.fmean(starts[key]),
            "accuracy": interval(list(by_seed.values())),
        }
        off = groups.get((task, sparsity, start, "off", norms, epochs))
        if off and restriction != "off":
            row["minus_off"] = interval([by_seed[seed] - off[seed] for seed in by_seed])
        published = groups.get((task, sparsity, start, restriction, "batch", epochs))
        if published and norms in OTHER_NORMS:
            row["minus_batch"] = interval([by_seed[seed] - published[seed] for seed in by_seed])
        rows.append(row)
    return rows


def step_cost(work: Workload, batch: int = 64, repeats: int = 40) -> dict[str, Any]:
    """Median time of a search step and of a plain one, taken in turns on the same batches."""
    plain, frozen = work.model().train(), work.model().requires_grad_(False)
    start = work.start("magnitude", 0.9, 0)
    base = {n: v for n, v in frozen.base_model.named_parameters() if n in start.names}
    own = {id(value): name for name, value in frozen.named_parameters()}
    scored = ScoredWeights(base, start)
    of_plain = torch.optim.SGD(plain.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    of_scores = torch.optim.SGD(scored.scores.values(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    spec = work.prepared.spec

    def backward(model: nn.Module, rows: Any) -> None:
        found = dict(work.prepared.train.batch(rows))
        labels = found.pop("labels")
        example_losses(spec, model(**found), labels).mean().backward()

    def plain_step(rows: Any) -> None:
        of_plain.zero_grad()
        backward(plain, rows)
        of_plain.step()

    def search_step(rows: Any) -> None:
        frozen.train()
        effective = {own[id(base[name])]: value for name, value in scored.effective().items()}
        backward(UnderMask(frozen, effective), rows)
        scored.pass_gradients()
        of_scores.step()
        scored.update(0.5)

    times: dict[str, list[float]] = {"plain": [], "search": []}
    for rows in training_order(work.prepared.train, batch, repeats, seed=0):
        for name, step in (("plain", plain_step), ("search", search_step)):
            begun = time.perf_counter()
            step(rows)
            times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values[5:]) for name, values in times.items()}
    return {
        "task": work.task,
        "batch": batch,
        "plain_ms": 1000 * medians["plain"],
        "search_ms": 1000 * medians["search"],
        "ratio": medians["search"] / medians["plain"],
        "scores": sum(score.numel() for score in scored.scores.values()),
        "prunable": start.total(),
    }


def speed_up(work: Workload, known: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Any]:
    """Random starts for three times the epochs, beside the magnitude searches already run."""
    longer = replace(work.plan, epochs=3 * work.plan.epochs)
    runs = [work.run("random", 0.9, seed, replace(longer, seed=seed)) for seed in range(work.seeds)]
    third = {
        run["seed"]: run
        for run in known
        if (run["start"], run["restriction"], run["sparsity"]) == ("magnitude", "quartic", 0.9)
        and run["norms"] not in OTHER_NORMS
    }
    pairs = [(third[run["seed"]], run) for run in runs]
    return runs, {
        "task": work.task,
        "random_epochs": longer.epochs,
        "magnitude_epochs": work.plan.epochs,
        "random": interval([run["accuracy"] for run in runs]),
        "magnitude": interval([run["accuracy"] for run in third.values()]),
        "magnitude_minus_random": interval([a["accuracy"] - b["accuracy"] for a, b in pairs]),
        # The best of a curve favours the longer one: the maximum of three times as many epochs.
        "magnitude_minus_random_on_selection": interval(
            [max(a["selection_curve"]) - max(b["selection_curve"]) for a, b in pairs]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every start with every restriction")
    parser.add_argument("--task", required=True, choices=WORKLOADS)
    parser.add_argument("--out", type=Path, help="benchmarks/jackpot-TASK.json by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    work = WORKLOADS[given.task]
    dense, cost = work.accuracy(work.model()), step_cost(work)
    mine = [
        work.run(start, sparsity, seed, replace(plan, seed=seed))
        for start, plan, sparsity in arms(work, given.full)
        for seed in range(work.seeds)
    ]
    longer, claim = speed_up(work, mine)
    runs = mine + longer
    report = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/jackpot.py"
        + f" --task {given.task}"
        + " --full" * given.full,
        "machine": {"processor": platform.processor(), "threads": 1, "system": platform.system()},
        "versions": versions(),
        "plans": {work.task: work.plan.to_dict()},
        "data": {work.task: work.choice.to_dict()},
        "dense": {work.task: dense},
        "arms": summary(runs),
        "speed_up": [claim],
        "step": [cost],
        "runs": runs,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    out = given.out or Path(__file__).with_name(f"jackpot-{given.task}.json")
    write_whole(out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps({key: report[key] for key in ("dense", "speed_up", "step", "seconds")}))


if __name__ == "__main__":
    main()
