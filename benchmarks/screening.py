"""Does the race find the best mask, what does it cost, and does `select` say only what is so?

    python benchmarks/screening.py                 # all four parts, an hour on one core
    python benchmarks/screening.py --only equal planted

On the demo, one shot to 93.75 %; each part is a list of seeded units in benchmarks/screening.json, which is
written after every unit and continued by the same command. Each unit trains on batches of its own seed. The
first three are of races as `screen` runs them, refitted, distilled and with twins of the control; the others
are of races on labels without refitting and without twins.

alike    pools of the control and seven more of its twins: nothing to find
equal    pools of the control and seven draws around it at a low temperature: next to nothing to find
planted  at 97 %, the control, six draws, and one that keeps 5 % in place of 3 %: better by construction
spread   the standard deviation of the losses of five copies of the control with a share of their weights
         exchanged at the cut, and of five draws at a low temperature: what share makes a twin
pools    pools of 8 over mixed importances, allocations and temperatures: the race beside the same pool
         trained for the full epoch; regret is the winner's full-epoch loss above the pool's lowest, in
         standard deviations of the pool
tune     `rpmask tune` over importances and allocations beside magnitude alone, the same steps: full-epoch
         loss of the best mask of each
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from units import Parts, asked, store, walk

from rpmask.engines.local import InProcess
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.weights import find_prunable, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.early_evaluation import RaceOutcome, RaceRules, race
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_models import ModelFolders
from rpmask.randomized_masks.race_worker import RaceSetup, RaceWorker
from rpmask.randomized_masks.twins import twin_of
from rpmask.randomized_masks.verdict import paired_interval
from rpmask.records import DataChoice, MaskRecipe, Pool, SearchSpace
from rpmask.steps.inputs import load_data, prepare
from rpmask.steps.race_plan import held_out, plan_race, resolve_race
from rpmask.steps.requests import SampleRequest, ScreenRequest, TuneRequest
from rpmask.steps.tune import tune
from rpmask.train.batches import calibration_rows
from rpmask.train.model_place import locate
from rpmask.train.models import load_classifier, skeleton
from rpmask.train.observer import Silent

USUAL = ScreenRequest(threads=1)
PLAIN = ScreenRequest(threads=1, refit=0, distilled=False, twins=0)
K = 8
SPARSITY = 0.9375
PLANTED, PLANTED_AMONG = 0.97, 0.95  # a pool's sparsity, and that of its better mask
LOW = 0.1  # temperature of draws that are meant to be equal
END_OF_RACE = 0.256  # of an epoch: the last step of a usual race of eight
TUNE_STEPS = 700
SPACES = {
    "mixed": SearchSpace(importances=("magnitude", "fisher")),
    "magnitude": SearchSpace(importances=("magnitude",)),
}


class Demo:
    """The demo's weights, data and importance statistics, loaded once."""

    def __init__(self) -> None:
        choice = DataChoice()
        self.prepared = prepare(load_data("demo", choice), choice, "demo")
        self.spec = self.prepared.spec
        self.tensors = find_prunable(skeleton("demo", self.spec))
        self.source = SafetensorsWeights(locate("demo").weights)
        self.base = MaskRecipe(
            weights_digest(self.source, self.tensors), seed=0, sparsity=SPARSITY, temperature=0.0
        )
        rows = calibration_rows(len(self.prepared.train), 256, 0)
        self.statistics: dict[str, Statistics] = calibrate(
            load_classifier("demo", self.spec),
            self.prepared.train.take(rows),
            self.spec,
            [tensor.name for tensor in self.tensors],
            ["fisher", "taylor", "wanda"],
            seed=0,
            observer=Silent(),
        )

    def recipe(self, seed: int, importance: str = "magnitude", **knobs: Any) -> MaskRecipe:
        """A recipe around a centre."""
        found = self.statistics.get(importance)
        return replace(
            self.base,
            seed=seed,
            importance=importance,
            importance_digest=found.digest if found else None,
            **knobs,
        )

    def race(
        self, recipes: Sequence[MaskRecipe], request: ScreenRequest
    ) -> tuple[RaceOutcome, RaceRules, float]:
        """A race on one thread, its control's twins last, and its seconds."""
        k = len(recipes)
        twins = [twin_of(recipes[0], number) for number in range(1, request.twins + 1)]
        recipes = [*recipes, *twins]
        masks = tuple(
            draw_masks(recipes, self.source, self.tensors, statistics=self.statistics, parent=None)
        )
        request = resolve_race(request, "demo", SPARSITY)
        training, rules = plan_race(request, len(self.prepared.train), k, len(twins))
        setup = RaceSetup(
            models=ModelFolders("demo", "demo", self.spec),
            masks=masks,
            digests=tuple(mask.digest for mask in masks),
            task=self.spec,
            training=training,
            train=self.prepared.train,
            held_out=held_out(self.prepared, request),
        )
        names = [(recipe.id, mask.digest) for recipe, mask in zip(recipes, masks, strict=True)]
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            engine = InProcess(partial(RaceWorker, setup))
            files = RungFiles(Path(folder))
            outcome = race(engine, rules, names, 0, files, Silent(), range(k, len(names)))
        return outcome, rules, time.perf_counter() - begun


def mixed_recipes(demo: Demo, seed: int) -> list[MaskRecipe]:
    """The control and seven draws: any importance, allocation, temperature and ratio."""
    rng = np.random.default_rng(seed)
    recipes = [demo.base]
    while len(recipes) < K:
        recipes.append(
            demo.recipe(
                seed=1000 * seed + len(recipes),
                importance=str(rng.choice(["magnitude", "wanda", "taylor", "fisher"])),
                allocation=float(rng.choice([0.0, 0.5, 1.0])),
                temperature=float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))),
                sample_ratio=float(np.exp(rng.uniform(np.log(2e-5), np.log(1e-3)))),
            )
        )
    return recipes


def pools(demo: Demo, seed: int) -> dict[str, Any]:
    """One pool, raced and trained in full."""
    recipes = mixed_recipes(demo, seed)
    raced, rules, seconds = demo.race(recipes, replace(PLAIN, seed=seed))
    full, _, full_seconds = demo.race(recipes, replace(PLAIN, seed=seed, full=True))
    winner = ranked(raced)[0]
    losses = [candidate.rungs[-1].loss for candidate in full.candidates]
    deviation = statistics.stdev(losses)
    return {
        "seed": seed,
        "candidates": [
            [r.importance, r.allocation, round(r.temperature, 3), r.sample_ratio] for r in recipes
        ],
        "rungs": list(rules.rungs),
        "raced": [[round(score.loss, 5) for score in c.rungs] for c in raced.candidates],
        "full_losses": [round(loss, 5) for loss in losses],
        "full_metrics": [c.rungs[-1].metric for c in full.candidates],
        "winner": winner,
        "best": int(np.argmin(losses)),
        "regret": (losses[winner] - min(losses)) / deviation,
        "steps": raced.steps_spent,
        "full_steps": full.steps_spent,
        "share": raced.steps_spent / full.steps_spent,
        "seconds": round(seconds, 1),
        "full_seconds": round(full_seconds, 1),
    }


def ranked(outcome: RaceOutcome, k: int = K) -> list[int]:
    """The candidates that finished, best first."""
    finished = [c for c in outcome.candidates[:k] if c.status == "finished"]
    return [c.index for c in sorted(finished, key=lambda c: (c.rungs[-1].value, c.index))]


def judged(demo: Demo, seed: int, recipes: Sequence[MaskRecipe]) -> dict[str, Any]:
    """What `select` says of a pool: the best against the control, corrected for having looked at all."""
    outcome, _, seconds = demo.race(recipes, replace(USUAL, seed=seed))
    rivals = [index for index in ranked(outcome) if index != 0]
    if not rivals:
        return {"seed": seed, "verdict": "no-evidence", "seconds": round(seconds, 1)}
    losses = outcome.losses
    twins = [losses[index] for index in range(len(recipes), len(losses))]
    known: dict[str, Any] = {"compared": len(recipes) - 1, "seed": seed}
    found = paired_interval(losses[0], losses[rivals[0]], twins=twins, **known)
    rows_only = paired_interval(losses[0], losses[rivals[0]], **known)
    return {
        "seed": seed,
        "verdict": found.verdict,
        "verdict_by_rows": rows_only.verdict,
        "noise": found.noise,
        "error_of_rows": rows_only.error,
        "best": rivals[0],
        "effect": found.effect,
        "interval": [found.low, found.high],
        "steps": outcome.steps_spent,
        "seconds": round(seconds, 1),
    }


def alike(demo: Demo, seed: int) -> dict[str, Any]:
    """Twins of the control in the place of candidates."""
    others = [replace(twin_of(demo.base, 100 + i), seed=seed) for i in range(1, K)]
    return judged(demo, seed, [replace(demo.base, seed=seed), *others])


def equal(demo: Demo, seed: int) -> dict[str, Any]:
    """Draws that differ by their seed alone."""
    draws = [demo.recipe(1000 * seed + i, temperature=LOW) for i in range(1, K)]
    return judged(demo, seed, [demo.base, *draws])


def planted(demo: Demo, seed: int) -> dict[str, Any]:
    """Draws of one sparsity and, at a seeded place, one that keeps more."""
    control = replace(demo.base, sparsity=PLANTED)
    draws = [replace(control, seed=1000 * seed + i, temperature=LOW) for i in range(1, K)]
    place = int(np.random.default_rng(seed).integers(K - 1))
    draws[place] = replace(draws[place], sparsity=PLANTED_AMONG)
    return {**judged(demo, seed, [control, *draws]), "planted": place + 1}


def tuned(demo: Demo, seed: int) -> dict[str, Any]:
    """Both spaces at the same budget of steps, and what their best masks come to in a full epoch."""
    row: dict[str, Any] = {"seed": seed}
    for name, space in SPACES.items():
        with store() as context:
            request = TuneRequest(
                steps=TUNE_STEPS,
                sample=SampleRequest(seed=seed, k=K, sparsity=SPARSITY, space=space),
                screen=replace(PLAIN, seed=seed),
            )
            result = tune(request, context)
            last = result["generations"][-1]["sample"]["run_id"]
            pool = context.tracker.artifacts.record(last, "pool.json", Pool)
            recipe = pool.candidates[result["best"]["candidate"]].recipe
            found = {
                kind: Statistics.load(
                    context.tracker.artifacts.path(last, f"statistics/{kind}.safetensors")
                )
                for kind in pool.statistics
            }
        demo.statistics = found
        full, _, _ = demo.race([demo.base, recipe], replace(PLAIN, seed=seed, full=True))
        row[name] = {
            "best": result["best"],
            "generations": len(result["generations"]),
            "steps": result["steps_spent"],
            "full_loss": full.candidates[1].rungs[-1].loss,
            "full_metric": full.candidates[1].rungs[-1].metric,
        }
    row["gain"] = row["magnitude"]["full_loss"] - row["mixed"]["full_loss"]
    return row


SHARES = (0.001, 0.01, 0.05, 0.15)


def spread(demo: Demo, seed: int) -> dict[str, Any]:
    """How far the losses of equally good masks lie apart where a race usually ends."""
    control = replace(demo.base, seed=seed)
    sets = {"draws": [demo.recipe(1000 * seed + i, temperature=LOW) for i in range(1, 6)]}
    for share in SHARES:
        sets[f"{share:g}"] = [replace(twin_of(control, i), swapped=share) for i in range(1, 6)]
    request = replace(USUAL, seed=seed, twins=0, rungs=1, budget=END_OF_RACE)
    found: dict[str, Any] = {"seed": seed}
    for name, recipes in sets.items():
        losses = demo.race([control, *recipes], request)[0].losses
        means = [float(losses[index].mean()) for index in sorted(losses)]
        found["control"] = means[0]
        found[name] = {"mean": statistics.fmean(means[1:]), "sd": statistics.stdev(means[1:])}
    return found


PARTS: dict[str, tuple[Callable[[Demo, int], dict[str, Any]], int]] = {
    "spread": (spread, 4),
    "alike": (alike, 30),
    "equal": (equal, 30),
    "planted": (planted, 20),
    "pools": (pools, 20),
    "tune": (tuned, 6),
}


def interval(values: Sequence[float]) -> list[float]:
    """Mean and 95 % t interval."""
    mean = statistics.fmean(values)
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return [mean, mean - half, mean + half]


def summary(parts: Parts) -> dict[str, Any]:
    """The figures the parts come to."""
    found: dict[str, Any] = {}
    for name in ("alike", "equal", "planted"):
        for verdict in ("verdict", "verdict_by_rows"):
            said = [unit[verdict] for unit in parts.get(name, []) if verdict in unit]
            key = name if verdict == "verdict" else f"{name}_by_rows"
            found[key] = {which: said.count(which) for which in sorted(set(said))}
    units = parts.get("spread", [])
    if units:
        names = ("draws", *(f"{share:g}" for share in SHARES))
        found["spread"] = {n: statistics.fmean(unit[n]["sd"] for unit in units) for n in names}
    units = parts.get("pools", [])
    if len(units) > 1:
        found["pools"] = {
            "count": len(units),
            "regret": interval([unit["regret"] for unit in units]),
            "share_of_steps": interval([unit["share"] for unit in units]),
            "share_of_seconds": interval([u["seconds"] / u["full_seconds"] for u in units]),
            "best_found": sum(unit["winner"] == unit["best"] for unit in units),
        }
    gains = [unit["gain"] for unit in parts.get("tune", [])]
    if len(gains) > 1:
        found["tune"] = {"count": len(gains), "gain_in_loss": interval(gains)}
    return found


def main() -> None:
    arguments = asked(__file__, __doc__, PARTS)
    demo = Demo()
    statistics_of_demo = demo.statistics

    def unit(name: str, seed: int) -> dict[str, Any]:
        demo.statistics = statistics_of_demo
        return PARTS[name][0](demo, seed)

    walk(arguments.out, {name: PARTS[name][1] for name in arguments.only}, unit, summary)


if __name__ == "__main__":
    main()
