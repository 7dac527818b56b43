"""The tables of docs/jackpot.md, from the benchmark of a task's searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markdown_table import table

TASKS = ("digits", "demo")

Report = dict[str, Any]


def spread(found: dict[str, float], sign: str = "") -> str:
    """A mean and its interval."""
    return f"{found['mean']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def main_arms(report: Report) -> list[dict[str, Any]]:
    """The arms of the plan's length and norms; the longer random search is the speed-up's."""
    epochs = report["speed_up"][0]["magnitude_epochs"]
    return [
        arm
        for arm in report["arms"]
        if arm["epochs"] == epochs and arm["norms"] not in ("frozen", "reestimated")
    ]


def by_sparsity(report: Report, cell: Callable[[dict[str, Any]], str]) -> str:
    """One row a start and restriction, one column a sparsity."""
    arms = main_arms(report)
    sparsities = sorted({arm["sparsity"] for arm in arms})
    cells: dict[tuple[str, str], dict[float, str]] = {}
    for arm in arms:
        cells.setdefault((arm["start"], arm["restriction"]), {})[arm["sparsity"]] = cell(arm)
    head = ["start", "restriction", *(f"{sparsity:.0%}" for sparsity in sparsities)]
    rows = [
        [*key, *(found[s] for s in sparsities)]
        for key, found in cells.items()
        if any(found.values())
    ]
    return table(head, rows)


def accuracy(report: Report) -> str:
    """Dev accuracy after the search."""
    return by_sparsity(report, lambda arm: spread(arm["accuracy"]))


def before(report: Report) -> str:
    """Dev accuracy under the starting mask."""
    arms = [arm for arm in main_arms(report) if arm["restriction"] == "quartic"]
    return by_sparsity({**report, "arms": arms}, lambda arm: f"{arm['start_accuracy']:.3f}")


def restriction(report: Report) -> str:
    """Paired differences to the search without restriction."""
    return by_sparsity(
        report, lambda arm: spread(arm["minus_off"], "+") if "minus_off" in arm else ""
    )


def norms(report: Report) -> str:
    """Each way that batch norms can be treated, at 90 %, and the paired difference to the published one."""
    arms = [arm for arm in report["arms"] if arm["sparsity"] == 0.9]
    starts = [arm["start"] for arm in arms if arm["norms"] == "frozen"]
    epochs = report["speed_up"][0]["magnitude_epochs"]
    rows = [
        [
            start,
            arm["norms"],
            f"{arm['start_accuracy']:.3f}",
            spread(arm["accuracy"]),
            spread(arm["minus_batch"], "+") if "minus_batch" in arm else "",
        ]
        for start in starts
        for arm in arms
        if (arm["start"], arm["restriction"], arm["epochs"]) == (start, "quartic", epochs)
    ]
    return table(["start", "norms", "before", "after", "minus batch"], rows)


def speed_up(report: Report) -> str:
    """The random start's best on the selection split, and when the magnitude start has it."""
    claim = report["speed_up"][0]
    chosen: dict[tuple[str, int], list[float]] = {
        (run["start"], run["seed"]): run["selection_curve"]
        for run in report["runs"]
        if run["sparsity"] == 0.9
        and run["restriction"] == "quartic"
        and run["norms"] not in ("frozen", "reestimated")
        and (run["start"], run["epochs"])
        in (("random", claim["random_epochs"]), ("magnitude", claim["magnitude_epochs"]))
    }
    rows = []
    for (start, seed), longer in chosen.items():
        if start != "random":
            continue
        shorter, best = chosen["magnitude", seed], max(longer)
        reached = next((i for i, metric in enumerate(shorter) if metric >= best), None)
        rows.append(
            [
                str(seed),
                f"{best:.4f} after {longer.index(best)} of {len(longer) - 1}",
                f"{max(shorter):.4f} after {shorter.index(max(shorter))} of {len(shorter) - 1}",
                "never" if reached is None else f"after {reached}",
            ]
        )
    dev = claim["magnitude_minus_random"]
    selection = claim["magnitude_minus_random_on_selection"]
    head = ["seed", "random's best epoch", "magnitude's best epoch", "magnitude is there"]
    return (
        table(head, rows)
        + f"\n\nMagnitude minus random on dev {spread(dev, '+')}, "
        + f"of the best epochs on the selection split {spread(selection, '+')}."
    )


def cost(report: Report) -> str:
    """What a search step costs, and how many scores there are."""
    step = report["step"][0]
    head = ["plain step", "search step", "ratio", "prunable weights", "scores"]
    row = [
        f"{step['plain_ms']:.1f} ms",
        f"{step['search_ms']:.1f} ms",
        f"{step['ratio']:.2f}",
        f"{step['prunable']:,}",
        f"{step['scores']:,}",
    ]
    return table(head, [row])


def setting(report: Report) -> str:
    """What was run."""
    (task, plan), (_, dense) = *report["plans"].items(), *report["dense"].items()
    rows = report.get("data", {}).get(task, {}).get("train_rows")
    seeds = len({run["seed"] for run in report["runs"]})
    return (
        f"Dense accuracy {dense:.4f}. {plan['epochs']} epochs"
        + (f" of {rows:,} rows" if rows else "")
        + f", {plan['batch_size']} rows a step, {plan['optimizer']} at {plan['learning_rate']:g}, "
        f"{seeds} seeds; all of it took {report['seconds'] / 60:.0f} minutes."
    )


TABLES: dict[str, Callable[[Report], str]] = {
    "setting": setting,
    "before": before,
    "accuracy": accuracy,
    "norms": norms,
    "restriction": restriction,
    "speed-up": speed_up,
    "cost": cost,
}
NOT_SHOWN = {("demo", "norms")}  # its model has no batch norms
