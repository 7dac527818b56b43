"""Does a verdict of `select` hold up when both masks are trained on with another seed?

    python benchmarks/verdicts.py                  # an hour on one core; continues where it was stopped
    python benchmarks/verdicts.py --only alike

On the demo, in one shot, with the defaults of `screen` and `select`: refitted, distilled races. Of each
seeded pool the best candidate and the control are trained by `finetune` for three epochs, with the same
batches and refitted rows, drawn by another seed than the race's. Then their losses on the dev split, which
the race did not see, are compared as `select` compares: at the confidence that suits each, row by row, with
a 95 % interval.

usual   the pool that `sample --k 8` draws at 97 %
alike   the control and seven draws around it at a low temperature, at 97 %
easy    the pool that `sample --k 8` draws at 93.75 %, where the demo loses next to nothing
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from units import Parts, asked, store, walk

from rpmask.randomized_masks.race_score import calibrated_losses
from rpmask.randomized_masks.verdict import BETTER, NO_EVIDENCE, WORSE, paired_interval
from rpmask.records import SearchSpace, Selection
from rpmask.steps.context import Context
from rpmask.steps.finetune import finetune
from rpmask.steps.requests import FinetuneRequest, SampleRequest, ScreenRequest, SelectRequest
from rpmask.steps.sample import sample
from rpmask.steps.screen import screen
from rpmask.steps.select import select
from rpmask.train.plan import TrainPlan


@dataclass(frozen=True)
class Kind:
    """What pools are drawn, and how many."""

    count: int
    sparsity: float = 0.97
    space: SearchSpace = field(default_factory=SearchSpace)


K = 8
KINDS = {
    "usual": Kind(8),
    "alike": Kind(
        8, space=SearchSpace(importances=("magnitude",), allocations=(0.0,), temperature=(0.1, 0.1))
    ),
    "easy": Kind(4, sparsity=0.9375),
}
OUTCOMES = {BETTER: "ahead", NO_EVIDENCE: "even", WORSE: "behind"}
TRAINING = FinetuneRequest(plan=TrainPlan(epochs=3.0, evaluations=1))


def judged(name: str, seed: int) -> dict[str, Any]:
    """One pool: what was said of its best candidate, and what became of it and of the control."""
    kind = KINDS[name]
    with store() as context:
        asked = SampleRequest(seed=seed, k=K, sparsity=kind.sparsity, space=kind.space)
        pool = sample(asked, context)
        race = screen(ScreenRequest(seed=seed, threads=1), context, pool["run_id"])["run_id"]
        said = select(SelectRequest(seed=seed), context, race)
        selection = context.tracker.artifacts.record(said["run_id"], "selection.json", Selection)
        if selection.best == selection.control:
            raise SystemExit(
                f"No rival finished the race of {name} {seed}: there is nothing to compare."
            )
        (control, control_metric), (best, best_metric) = (
            trained(context, race, mask, 1000 + seed)
            for mask in (selection.control, selection.best)
        )
    found = paired_interval(control, best, seed=seed)
    recipe = pool["candidates"][selection.best]
    return {
        "seed": seed,
        "verdict": said["verdict"],
        "effect": said["effect"],
        "interval": said["interval"],
        "best": [recipe[knob] for knob in ("importance", "allocation", "temperature")],
        "outcome": OUTCOMES[found.verdict],
        "lower_by": [round(value, 5) for value in (found.effect, found.low, found.high)],
        "metrics": [control_metric, best_metric],
    }


def trained(context: Context, race: str, mask: int, seed: int) -> tuple[np.ndarray, float]:
    """The dev losses, row by row, and the dev metric of a mask after its training."""
    chosen = select(SelectRequest(take=str(mask)), context, race)["run_id"]
    request = replace(TRAINING, plan=replace(TRAINING.plan, seed=seed))
    found = finetune(request, context, chosen)
    answers = load_file(context.tracker.artifacts.path(found["run_id"], "dev.safetensors"))
    losses = calibrated_losses(answers["dev/logits"], answers["dev/labels"])
    return losses, float(found["dev"][found["primary"]])


def summary(parts: Parts) -> dict[str, Any]:
    """Of each verdict: how often it was said, and what became of the best beside the control."""
    found: dict[str, Any] = {}
    for name, units in parts.items():
        found[name] = {}
        for verdict in sorted({unit["verdict"] for unit in units}):
            here = [unit for unit in units if unit["verdict"] == verdict]
            outcomes = [unit["outcome"] for unit in here]
            gains = [unit["metrics"][1] - unit["metrics"][0] for unit in here]
            found[name][verdict] = {
                "said": len(here),
                **{outcome: outcomes.count(outcome) for outcome in OUTCOMES.values()},
                "median_gain": round(median(gains), 5),
            }
    return found


def main() -> None:
    arguments = asked(__file__, __doc__, KINDS)
    walk(arguments.out, {name: KINDS[name].count for name in arguments.only}, judged, summary)


if __name__ == "__main__":
    main()
