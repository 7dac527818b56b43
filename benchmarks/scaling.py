"""What a race of 1,000 candidates costs on 1, 10 and 100 workers: bytes, hours, and what waits for what.

    python benchmarks/scaling.py            # writes benchmarks/scaling.json and docs/scaling.svg

The race is simulated by simulated_race.py. The costs of proving a mask, packing, storing and handing over
are measured here; the speed of the device and of the network are assumptions, written into the result. The
same simulation, fitted to one worker with one thread, is compared with the measured races of
benchmarks/engines.json if it exists.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from simulated_race import Costs, Model, Rungs, simulate

from rpmask.files import write_whole
from rpmask.heads.splits import Encoded
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.early_evaluation import rung_steps, survivors_of
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_models import ShippedModels
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.randomized_masks.race_worker import Leg, RaceSetup, RaceWorker
from rpmask.records import MaskRecipe
from rpmask.tasks.registry import get_spec

HERE = Path(__file__).parent


def rungs_of(k: int, full_steps: int, rungs: int, budget: float) -> Rungs:
    """The rungs of a race in which only the ranks stop anybody."""
    found: Rungs = []
    before = 0
    for step in rung_steps(full_steps, k, rungs=rungs, eta=2.0, budget=budget):
        found.append((k, step - before))
        before = step
        k = survivors_of(k - 1, 2.0) + 1
    return found


def timed(
    work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter, times: int = 20
) -> float:
    """The fastest of some runs: what is measured is the work and not who else is at work."""
    found = []
    for _ in range(times):
        started = clock()
        work()
        found.append(clock() - started)
    return min(found)


def computed(work: Callable[[], Any]) -> float:
    """Seconds of one core, whoever else uses it: for what neither waits nor uses threads."""
    return timed(work, time.process_time)


def measured_costs() -> dict[str, float]:
    """Proving a mask, packing, storing and handing over, on a BERT of 23 million parameters."""
    from transformers import BertConfig, BertForSequenceClassification

    spec = get_spec("sst2")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536
    )
    model = BertForSequenceClassification(config)
    tensors, weights = find_prunable(model), TensorWeights(model)
    digest = weights_digest(weights, tensors)
    recipe = MaskRecipe(weights_digest=digest, seed=0, sparsity=0.9375)
    mask = draw_mask(recipe, weights, tensors)
    content = pickle.dumps(mask)
    proving = computed(lambda: pickle.loads(content).digest)
    ids = np.random.default_rng(0).integers(1, 30000, (64, 32)).tolist()
    features = [{"input_ids": row, "attention_mask": [1] * 32} for row in ids]
    rows = Encoded(features, np.arange(64) % 2, {"input_ids": 0, "attention_mask": 0})
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        models = ShippedModels.of(folder, folder, spec)
        plan = RaceTraining(full_steps=4, batch_size=8, threads=1)
        held_out = rows.take(np.arange(8))
        worker = RaceWorker(RaceSetup(models, (mask,), (mask.digest,), spec, plan, rows, held_out))
        worker(Leg(0, 0, 0, 1, None, keep_state=False))
        first = worker(Leg(0, 0, 0, 1, None))
        assert first.state is not None
        size = len(first.state)
        plain = computed(lambda: worker(Leg(0, 0, 0, 1, None, keep_state=False)))
        packing = computed(lambda: worker(Leg(0, 0, 0, 1, None))) - plain
        unpacking = computed(lambda: worker(Leg(0, 0, 0, 1, first.state, keep_state=False))) - plain
        files = RungFiles(Path(folder) / "rungs")
        scored = replace(first, state=None)
        storing = timed(lambda: files.put(scored))
    overhead, byte = handover(size)
    total = sum(parameter.numel() for parameter in model.parameters())
    kept = Model(total, sum(tensor.numel for tensor in tensors))
    assert abs(size / kept.state - 1) < 0.01, (size, kept.state)  # 12 bytes a weight, and a header
    return {
        "prove_byte": proving / kept.mask,
        "pack_byte": max(0.0, packing) / size,
        "unpack_byte": max(0.0, unpacking) / size,
        "handover": overhead,
        "handover_byte": byte,
        "store": storing,
    }


def handover(size: int) -> tuple[float, float]:
    """Seconds of giving a Ray actor an item and taking the answer, and of each byte of the item."""
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")

    class Taker:
        def take(self, item: bytes) -> int:
            return len(item)

    actor = ray.remote(Taker).remote()
    ray.get(actor.take.remote(b""))
    small = timed(lambda: ray.get([actor.take.remote(b"") for _ in range(50)])) / 50
    large = timed(lambda: ray.get(actor.take.remote(bytes(size))))
    ray.shutdown()
    return small, max(0.0, large - small) / size


def check(costs: dict[str, float], engines: dict[str, Any]) -> list[dict[str, Any]]:
    """Turn by turn: fitted to one worker with one thread, what two workers should take."""
    found = []
    demo = Model(1_000_000, 0)
    for turn in engines["turns"]:
        fitted = turn["local-1-thread"]
        start = fitted["wall_seconds"] - fitted["race_seconds"]
        each = fitted["race_seconds"] / fitted["training_steps"]
        here = Costs(**costs, step=each, evaluation=0.0, network_byte=0.0)
        for name in ("local-2", "local-2-of-22", "ray-2-of-22"):
            rungs: Rungs = []
            before = 0
            for step, candidates in turn[name]["rungs"]:
                rungs.append((candidates, step - before))
                before = step
            race = simulate(rungs, demo, 2, here)["hours"] * 3600
            measured = turn[name]["race_seconds"]
            found.append(
                {
                    "engine": name,
                    "race_seconds_simulated": race,
                    "race_seconds_measured": measured,
                    "ratio": measured / race,
                    "outside_the_race_seconds": turn[name]["wall_seconds"] - measured,
                    "outside_the_race_one_worker": start,
                }
            )
    return found


MODELS = {"110M": Model(110e6, 85e6, 24e6), "7B": Model(6.74e9, 6.48e9, 0.13e9)}


def costs_of(model: Model, measured: dict[str, float], asked: argparse.Namespace) -> Costs:
    """The measured costs, and those of a step and of the network as assumed."""
    step = 6 * model.trains * asked.batch * asked.tokens / (asked.tflops * 1e12)
    evaluation = 500 / asked.batch * step / 3  # 500 rows, forward only
    return Costs(step, evaluation, **measured, network_byte=8 / (asked.gbits * 1e9))


def by_rungs(
    measured: dict[str, float], spent: int, asked: argparse.Namespace
) -> list[dict[str, Any]]:
    """Races of about as many steps with fewer rungs: ten and a hundred workers."""
    found = []
    for count in range(3, asked.rungs + 1):
        full = asked.rows // asked.batch
        rungs = rungs_of(asked.candidates, full, count, spent / (asked.candidates * full))
        for name, model in MODELS.items():
            costs = costs_of(model, measured, asked)
            ten, hundred = (simulate(rungs, model, workers, costs) for workers in (10, 100))
            found.append(
                {
                    "model": name,
                    "rungs": count,
                    "in_the_last": rungs[-1][0],
                    "hours": [ten["hours"], hundred["hours"]],
                    "waiting": [ten["share_waiting"], hundred["share_waiting"]],
                    "ratio": ten["hours"] / hundred["hours"],
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=67_349, help="training rows; SST-2 has these")
    parser.add_argument("--tokens", type=int, default=64, help="of a padded row")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--budget", type=float, default=0.25)
    parser.add_argument("--rungs", type=int, default=8)
    parser.add_argument("--tflops", type=float, default=60.0, help="a worker sustains; assumed")
    parser.add_argument(
        "--gbits", type=float, default=10.0, help="of the coordinator's link; assumed"
    )
    parser.add_argument("--out", type=Path, default=HERE / "scaling.json")
    asked = parser.parse_args()
    measured = measured_costs()
    rungs = rungs_of(asked.candidates, asked.rows // asked.batch, asked.rungs, asked.budget)
    rows = []
    for (name, model), workers in itertools.product(MODELS.items(), (1, 10, 100)):
        costs = costs_of(model, measured, asked)
        free = Costs(costs.step, costs.evaluation, *[0.0] * 7)
        rows.append(
            {
                "model": name,
                "workers": workers,
                "step_seconds": costs.step,
                "state_gigabytes": model.state / 1e9,
                **simulate(rungs, model, workers, costs),
                "hours_if_all_but_training_were_free": simulate(rungs, model, workers, free)[
                    "hours"
                ],
            }
        )
    spent = sum(candidates * steps for candidates, steps in rungs)
    timings = HERE / "engines.json"
    engines = json.loads(timings.read_text()) if timings.exists() else {"turns": []}
    report = {
        "command": "python benchmarks/scaling.py",
        "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
        "versions": {name: version(name) for name in ("torch", "transformers", "ray")},
        "race": {"candidates": asked.candidates, "rungs": rungs, "budget": asked.budget},
        "assumed": {
            "tflops_of_a_worker": asked.tflops,
            "gigabits_of_the_link": asked.gbits,
            "batch": asked.batch,
            "tokens": asked.tokens,
            "models": {name: asdict(model) for name, model in MODELS.items()},
        },
        "measured_seconds": measured,
        "simulated": rows,
        "by_rungs": by_rungs(measured, spent, asked),
        "checked_against_engines_json": check(measured, engines),
    }
    write_whole(asked.out, (json.dumps(report, indent=1) + "\n").encode())
    draw(rows, HERE.parent / "docs" / "scaling.svg")
    for row in rows:
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Where the workers' time goes, a bar for each model and number of workers."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "rpmask"
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    labels = [f"{row['model']}, {row['workers']}: {row['hours']:,.1f} h" for row in rows]
    left = np.zeros(len(rows))
    parts = (
        ("share_training", "training", "#3b6ea5"),
        ("share_preparing", "proving masks, packing states", "#e0a33e"),
        ("share_waiting", "waiting: coordinator, network, end of a rung", "#b9b9b9"),
    )
    for key, label, colour in parts:
        widths = np.array([100 * row[key] for row in rows])
        axes.barh(labels, widths, left=left, color=colour, label=label)
        left += widths
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the workers' time, %")
    axes.set_ylabel("model, workers: race")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
