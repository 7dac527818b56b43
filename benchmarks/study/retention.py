"""What the arms keep: tables and verdicts (questions 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from compare import Rows, agreement, dense_model, gap, mean, minutes, of, points, signed, table
from grid import ARMS, SPARSITIES, TASKS

from rpmask.words import percent

TARGETS = {0.9375: 0.985, 0.97: 0.97, 0.99: 0.93}
NAMES = {
    "magnitude": "(a) magnitude",
    "paper": "(b) the paper's recipe",
    "ours": "(c) rpmask, one shot",
    "levels": "(d) rpmask, by levels",
}
THREE = ("magnitude", "paper", "ours")  # what was walked first, and with more seeds than (d)
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
        parts.append(f"### {percent(sparsity)} sparse\n\n{table(header, lines)}\n{verdict(here)}")
    return "## Retention at about the same steps\n\n" + "\n".join(parts) if parts else ""


def ahead_of(here: Rows, task: str, arm: str, other: str) -> str:
    """How many points an arm is ahead of one that stands above it in the table."""
    if list(ARMS).index(arm) <= list(ARMS).index(other):
        return ""
    return signed(gap(of(here, task=task, arm=arm), of(here, task=task, arm=other)))


def shared_models(rows: Rows, task: str, sparsity: float) -> set[tuple[int, float]]:
    """The dense models of a task that the first three arms were all walked with."""
    here = of(rows, question="main", task=task, sparsity=sparsity)
    return set.intersection(*({dense_model(row) for row in of(here, arm=arm)} for arm in THREE))


def retained(
    here: Rows, which: str = "retention", among: Sequence[str] = THREE
) -> dict[str, dict[str, float]]:
    """The retention of some arms on each task that all were walked on, of the dense models they share."""
    found = {}
    for task in TASKS:
        arms = {arm: of(here, task=task, arm=arm) for arm in among}
        shared = set.intersection(*({dense_model(row) for row in arms[arm]} for arm in among))
        if shared:
            found[task] = {
                arm: mean(row[which] for row in arms[arm] if dense_model(row) in shared)
                for arm in among
            }
    return found


def beaten(here: Rows, arm: str, other: str) -> list[str]:
    """The tasks on which an arm is ahead of another with an interval that excludes zero."""
    gaps = {
        task: gap(of(here, task=task, arm=arm), of(here, task=task, arm=other)) for task in TASKS
    }
    return [task for task, found in gaps.items() if found is not None and points(found)[1] > 0]


def verdict(here: Rows) -> str:
    """What the table says of the target, in words."""
    each = retained(here)
    if not each:
        return "No task has all of (a), (b) and (c) yet.\n"
    kept = {arm: mean(shares[arm] for shares in each.values()) for arm in THREE}
    target = TARGETS[here[0]["sparsity"]]
    said = "reached" if kept["ours"] >= target else "missed"
    under = [
        f"{task} {shares['ours']:.2%}" for task, shares in each.items() if shares["ours"] < target
    ]
    held = "Every task here keeps as much." if not under else f"Short of it: {', '.join(under)}."
    wins = " and ".join(
        f"{NAMES[arm]} on {', '.join(beaten(here, 'ours', arm)) or 'no task'}"
        for arm in ("magnitude", "paper")
    )
    return (
        f"Mean retention over {len(each)} of {len(TASKS)} tasks, of the seeds that all three have: "
        + ", ".join(f"{NAMES[arm]} {kept[arm]:.1%}" for arm in THREE)
        + f". The target for (c), {target:.1%}, is {said} on these. {held} (c) beats with an interval that "
        f"excludes zero {wins}.\n"
    )


def targets_said(rows: Rows) -> list[str]:
    """Where each target stands, by levels and in one shot, over all the seeds of each."""
    said = []
    for arm, sparsity in product(("levels", "ours"), SPARSITIES):
        here, target = of(rows, question="main", sparsity=sparsity), TARGETS[sparsity]
        each = {task: of(here, arm=arm, task=task) for task in TASKS}
        kept = {task: mean(r["retention"] for r in found) for task, found in each.items() if found}
        if not kept:
            continue
        lead = mean(
            mean(r["corrected_retention"] for r in each[task])
            for task in kept
            if task not in AT_CHANCE
        )
        whole = mean(kept.values())
        under = [f"{task} ({share:.1%})" for task, share in kept.items() if share < target]
        wins = " and ".join(
            f"{letter} on {', '.join(beaten(here, arm, other)) or 'no task'}"
            for letter, other in (("(a)", "magnitude"), ("(b)", "paper"))
        )
        said.append(
            f"{NAMES[arm]}, at {percent(sparsity)}: keeps {whole:.1%} of the dense metric on the mean of "
            f"{', '.join(kept)}; of its lead over chance {lead:.0%}"
            + (", without rte" if "rte" in kept else "")
            + f". Our target for the plain figure, set before any row was walked, is {target:.1%}: "
            f"{'reached' if whole >= target else 'missed'}"
            + (f"; below it: {', '.join(under)}" if under else "")
            + f". Ahead with intervals that exclude zero of {wins}."
        )
    return said


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
            places += len(retained(here))
            ahead += [f"{task} {percent(sparsity)}" for task in beaten(here, arm, "magnitude")]
            behind += [f"{task} {percent(sparsity)}" for task in beaten(here, "magnitude", arm)]
        claims.append(
            f"{NAMES[arm]} is ahead of (a) on {', '.join(ahead) or 'none'}"
            + (f" and behind on {', '.join(behind)}" if behind else "")
        )
    return (
        "The paper claims two to four points over deterministic pruning at high sparsity. In the "
        f"{places} comparisons here at 97% and 99%, with intervals that exclude zero, {'; '.join(claims)}. "
        "(b) differs from (a) in distillation, levels and dropout as well, and is a ninth as long as the "
        "paper has it."
        if places
        else ""
    )


def summary(rows: Rows) -> str:
    """The first table: retention corrected for chance, of the first three arms together and of the last."""
    each = {
        s: retained(of(rows, question="main", sparsity=s), "corrected_retention")
        for s in SPARSITIES
    }
    tasks = [
        task
        for task in TASKS
        if task not in AT_CHANCE and any(task in found for found in each.values())
    ]
    lines = []
    for sparsity, found in each.items():
        cells = [
            " / ".join(f"{100 * found[task][arm]:.0f}" for arm in THREE)
            + f" ({len(shared_models(rows, task, sparsity))})"
            if task in found
            else "-"
            for task in tasks
        ]
        lines.append([percent(sparsity), *cells])
        stepped = [
            of(rows, question="main", arm="levels", sparsity=sparsity, task=task) for task in tasks
        ]
        if any(stepped):
            shares = [
                f"{100 * mean(row['corrected_retention'] for row in here):.0f} ({len(here)})"
                if here
                else "-"
                for here in stepped
            ]
            lines.append([f"{percent(sparsity)}, by levels", *shares])
    return table(["sparse", *tasks], lines)


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
            "Here (c) classifies fewer dev rows as the dense model does than the dense model's commonest "
            f"answer alone would: it errs on other rows. {each}."
        )
    dense = [row for row in of(rows, task="rte") if row["question"] in ("main", "factor")]
    if dense:
        said.append(
            f"RTE says nothing: this encoder's dense model has {dense[0]['dense']:.4f} there, always "
            f"answering the commonest label {dense[0]['majority']:.4f}, so a sparse one has nothing to keep."
        )
    return "### Why not everywhere\n\n" + "\n\n".join(said) + "\n" if said else ""
