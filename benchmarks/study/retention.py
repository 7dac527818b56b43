"""What the arms keep: tables and verdicts (questions 1 and 2)."""

from __future__ import annotations

from itertools import product

from compare import (
    Rows,
    agreement,
    difference,
    gap,
    gap_kept,
    mean,
    minutes,
    of,
    points,
    signed,
    table,
)
from grid import ARMS, SEEDS, SPARSITIES, TASKS

from rpmask.words import percent

TARGETS = {0.9375: 0.985, 0.97: 0.97, 0.99: 0.93}
NAMES = {
    "magnitude": "(a) magnitude",
    "paper": "(b) the paper's recipe",
    "ours": "(c) rpmask, one shot",
    "levels": "(d) rpmask, by levels",
    "tightened": "(e) rpmask, tightened",
}
THREE = ("magnitude", "paper", "ours")
AT_CHANCE = ("rte",)  # what the dense model itself does not learn: nothing can be kept of it


def main_tables(rows: Rows) -> str:
    """Questions 1 and 2: a table a sparsity."""
    parts = []
    for sparsity in SPARSITIES:
        here = of(rows, question="main", sparsity=sparsity)
        if not here:
            continue
        lines = []
        for task in TASKS:
            for arm in ARMS:
                found = of(here, task=task, arm=arm)
                if not found:
                    continue
                lines.append(
                    [
                        f"{task}, {found[0]['primary'].replace('_', ' ')}",
                        NAMES[arm],
                        str(len(found)),
                        f"{mean(r['majority'] for r in found):.4f}",
                        f"{mean(r['dense'] for r in found):.4f}",
                        f"{mean(r['dev'] for r in found):.4f}",
                        f"{mean(r['retention'] for r in found):.1%}",
                        f"{mean(r['corrected_retention'] for r in found):.1%}",
                        agreement(found),
                        *(ahead_of(here, task, arm, other) for other in THREE),
                        f"{mean(sum(r['steps'].values()) for r in found):,.0f}",
                        minutes(found),
                    ]
                )
        header = [
            *(
                "task, metric",
                "arm",
                "seeds",
                "majority",
                "dense",
                "sparse",
                "retention",
                "corrected",
                "agreement",
            ),
            *("minus (a), points", "minus (b), points", "minus (c), points", "steps", "minutes"),
        ]
        parts.append(f"### {percent(sparsity)} sparse\n\n{table(header, lines)}")
    return "## Retention at about the same steps\n\n" + "\n".join(parts) if parts else ""


def ahead_of(here: Rows, task: str, arm: str, other: str) -> str:
    """How many points an arm is ahead of one that stands above it in the table."""
    if list(ARMS).index(arm) <= list(ARMS).index(other):
        return ""
    return signed(gap(of(here, task=task, arm=arm), of(here, task=task, arm=other)))


def beaten(here: Rows, arm: str, other: str) -> list[str]:
    """The tasks on which an arm is ahead of another with an interval that excludes zero."""
    gaps = {
        task: difference(of(here, task=task, arm=arm), of(here, task=task, arm=other))
        for task in TASKS
    }
    return [task for task, found in gaps.items() if found is not None and points(found)[1] > 0]


def tightened_table(rows: Rows) -> str:
    """What tightening keeps beside the other arms, each measured by its own dense model."""
    lines = []
    for sparsity, task in product(SPARSITIES, TASKS):
        here = of(rows, question="main", sparsity=sparsity, task=task)
        if mine := of(here, arm="tightened"):
            others = (of(here, arm=arm) for arm in ARMS if arm != "tightened")
            gaps = [signed(gap_kept(mine, its)) for its in others]
            lines.append([task, percent(sparsity), str(len(mine)), *gaps])
    if not lines:
        return ""
    header = [
        "task",
        "sparse",
        "seeds",
        *(f"minus {name[:3]}" for name in list(NAMES.values())[:-1]),
    ]
    return (
        "### Tightened, beside the others\n\n(e) was computed last, with dense models of its own. The table "
        "has the difference in retention, in points, seed by seed; intervals are over dev rows, for "
        "given dense models." + again_said(rows) + "\n\n" + table(header, lines)
    )


def again_said(rows: Rows) -> str:
    """(e) beside (d) with the same dense model, where (d) was run once more."""
    said = []
    for again in of(rows, question="factor", arm="levels-again"):
        where = {key: again[key] for key in ("task", "sparsity", "seed", "dense")}
        found = gap_kept(of(rows, question="main", arm="tightened", **where), [again])
        if found:
            said.append(f"{signed(found)} on {again['task']} {percent(again['sparsity'])}")
    return f" With the same dense model, (e) minus (d): {', '.join(said)}." if said else ""


def targets_table(rows: Rows) -> str:
    """Where each target stands: tightened, by levels and in one shot."""
    lines = []
    for arm, sparsity in product(("tightened", "levels", "ours"), SPARSITIES):
        here, target = of(rows, question="main", sparsity=sparsity), TARGETS[sparsity]
        each = {task: of(here, arm=arm, task=task) for task in TASKS}
        kept = {task: mean(r["retention"] for r in found) for task, found in each.items() if found}
        if not kept:
            continue
        whole = mean(kept.values())
        learnt = [each[task] for task in kept if task not in AT_CHANCE]
        lead = mean(mean(row["corrected_retention"] for row in found) for found in learnt)
        under = [f"{task} {share:.1%}" for task, share in kept.items() if share < target]
        lines.append(
            [
                *(NAMES[arm], percent(sparsity), f"{whole:.1%}", ", ".join(kept)),
                f"{target:.1%}: {'reached' if whole >= target else 'missed'}",
                ", ".join(under) or "none",
                f"{lead:.0%}",
                *(", ".join(beaten(here, arm, one)) or "none" for one in ("magnitude", "paper")),
            ]
        )
    header = [
        *("arm", "sparse", "kept", "mean of", "target", "tasks below it", "lead over chance kept"),
        *("ahead of (a) on", "ahead of (b) on"),
    ]
    return (
        "The share of the dense metric that is kept, as the mean of the tasks, with the target that was set "
        "before anything was measured; the share of the lead over chance that is kept, without rte; and the "
        "tasks on which an arm is ahead with an interval that excludes zero.\n\n"
        + table(header, lines)
        if lines
        else ""
    )


def levels_said(rows: Rows) -> str:
    """What levels before the last one are worth, in the same steps."""
    said = []
    for sparsity in SPARSITIES:
        here = of(rows, question="main", sparsity=sparsity)
        gaps = {
            task: gap(of(here, task=task, arm="levels"), of(here, task=task, arm="ours"))
            for task in TASKS
        }
        found = [f"{signed(one)} on {task}" for task, one in gaps.items() if one is not None]
        if found:
            said.append(f"{', '.join(found)} at {percent(sparsity)}")
    return (
        "(d) minus (c), in points, with the same dense models and about the same steps: "
        f"{'; '.join(said)}."
        if said
        else ""
    )


def claim_said(rows: Rows) -> str:
    """What the paper claims near 100x, beside what is seen."""
    claims = []
    for arm in ("paper", "ours", "levels"):
        ahead, behind, places = [], [], 0
        for sparsity in SPARSITIES[1:]:
            here = of(rows, question="main", sparsity=sparsity)
            places += len({row["task"] for row in of(here, arm="magnitude")})
            ahead += [f"{task} {percent(sparsity)}" for task in beaten(here, arm, "magnitude")]
            behind += [f"{task} {percent(sparsity)}" for task in beaten(here, "magnitude", arm)]
        claims.append(
            f"{NAMES[arm]} is ahead of (a) on {', '.join(ahead) or 'none'}"
            + (f" and behind on {', '.join(behind)}" if behind else "")
        )
    return (
        "The paper claims two to four points over deterministic pruning at high sparsity. In the "
        f"{places} comparisons here at 97% and 99%, with intervals that exclude zero, {'; '.join(claims)}. "
        "(b) differs from (a) in distillation, levels and dropout as well, and has a ninth of the paper's "
        "length."
        if places
        else ""
    )


def summary(rows: Rows) -> str:
    """The first table: retention corrected for chance, of the tasks that the dense model learns."""
    main = of(rows, question="main")
    tasks = [task for task in TASKS if task not in AT_CHANCE and of(main, task=task)]
    lines = []
    for sparsity, arm in product(SPARSITIES, NAMES):
        found = [of(main, sparsity=sparsity, arm=arm, task=task) for task in tasks]
        cells = [
            f"{100 * mean(row['corrected_retention'] for row in here):.0f}"
            + (f" ({len(here)} of {SEEDS} seeds)" if len(here) < SEEDS else "")
            if here
            else "-"
            for here in found
        ]
        lines.append([percent(sparsity), NAMES[arm], *cells])
    return table(["sparse", "arm", *tasks], lines)


def why(rows: Rows) -> str:
    """Where the targets are missed, and why."""
    said = []
    for race in of(rows, question="race", arm="centres", task="cola"):
        first, last = (sorted(curve[end][1] for curve in race["rungs"]) for end in (0, -1))
        said.append(
            f"CoLA is learnt slowly: without refitting, {len(last)} masks begin the race below with losses "
            f"of {first[0]:.4f} to {first[-1]:.4f}, and after a whole epoch have {last[0]:.4f} to "
            f"{last[-1]:.4f}."
        )
    for row in of(rows, question="main", arm="ours", task="cola", sparsity=0.9375):
        taken, control = row["pool"].index(row["kept"][-1]), row["rungs"][0][-1]
        mine = row["rungs"][taken][-1]
        said.append(
            f"In the race of (c) on CoLA (seed {row['seed']}, step {control[0]}), learning from the dense "
            f"model, the labels' loss is {control[1]:.4f} with the control and {mine[1]:.4f} with the mask "
            f"that is taken, and the distance from the dense model {control[2]:.4f} and {mine[2]:.4f}; the "
            f"verdict is `{row['verdicts'][-1]}`."
        )
    strangers = [
        row
        for row in of(rows, question="main", arm="ours")
        if row["agreement"] < row["agreement_majority"]
    ]
    if strangers:
        each = ", ".join(
            f"{row['task']} {percent(row['sparsity'])} {row['agreement']:.1%} "
            f"({row['agreement_majority']:.1%})"
            for row in strangers
        )
        said.append(
            "(c) classifies fewer dev rows as the dense model does than always giving the dense model's most "
            f"frequent answer would, on {each}: it errs on other rows."
        )
    dense = [row for row in of(rows, task="rte") if row["question"] in ("main", "factor")]
    if dense:
        said.append(
            f"RTE says nothing: this encoder's dense model has {dense[0]['dense']:.4f} there, and always "
            f"answering the most frequent label {dense[0]['majority']:.4f}, so a sparse one has nothing to "
            "keep."
        )
    return "### Why not everywhere\n\n" + "\n\n".join(said) + "\n" if said else ""
