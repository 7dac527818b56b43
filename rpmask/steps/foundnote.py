"""What is said of a jackpot search: before it begins, and in the note of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rpmask.masks.mask import Mask
from rpmask.results import JackpotResult
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.starts import Origin
from rpmask.words import percent

NO_NORMS = "none"  # what a result says of a model without batch norms
NORMS_WILL = {
    "batch": "batch norms use each batch's statistics and update their running ones",
    "frozen": "batch norms keep the dense model's statistics",
    "reestimated": "batch norms take their statistics anew on training data after each epoch",
}
NORMS_DID = {
    "batch": "The batch norms' running statistics, which are buffers and no weights, **moved** with the "
    "search.",
    "frozen": "The batch norms' running statistics are the dense model's.",
    "reestimated": "The batch norms' running statistics, which are buffers and no weights, were "
    "**re-estimated** on training data under the mask.",
}


def announced(request: JackpotRequest, origin: Origin, start: Mask, rows: int) -> str:
    """One line before the search begins."""
    plan = request.plan
    return (
        f"Searching {start.kept():,} of {start.total():,} weights of {origin.weights} for "
        f"{plan.epochs} epochs of {rows:,} rows, from {origin.name}; no weight is changed, "
        f"{NORMS_WILL[plan.norm_statistics]}."
    )


def note(result: JackpotResult, registered: Mapping[str, Any] | None) -> str:
    """The note of the run and of the registered version."""
    name = result.primary
    swaps = sum(epoch.swaps for epoch in result.epochs)
    lines = [
        f"**`{result.task}` at {percent(result.sparsity)} without touching a weight: {name} "
        f"{result.dev[name]:.4f} on dev**, {result.start_metrics[name]:.4f} under the starting mask, "
        f"{result.dense[name]:.4f} dense.",
        f"Searched from `{result.start}` in the weights of `{result.weights}` for "
        f"{len(result.epochs) - 1} epochs, best at {result.best_epoch}; {swaps:,} swaps "
        f"(restriction {result.restriction}); {result.overlap:.1%} of the start's kept weights are "
        "still kept.",
        f"Digest of every parameter, before and after: `{result.weights_digest_before[:16]}`, "
        f"`{result.weights_digest_after[:16]}`.",
    ]
    if result.norm_statistics != NO_NORMS:
        lines.append(
            f"{NORMS_DID[result.norm_statistics]} Their digest, before and after: "
            f"`{result.statistics_digest_before[:16]}`, `{result.statistics_digest_after[:16]}`."
        )
    if registered is not None:
        lines.append(
            f"Registered as `models:/{registered['name']}/{registered['version']}` "
            f"(@{registered['alias']}).\n\nNext: `rpmask finetune --from {result.run_id}`"
        )
    return "\n\n".join(lines)
