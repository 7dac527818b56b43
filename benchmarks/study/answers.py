"""What one thing changed makes of a training: factors, jackpots, rates, defaults (questions 3, 5 and 6)."""

from __future__ import annotations

from typing import Any

from compare import Rows, gap, mean, of, signed, table
from grid import EARLY_TASKS, FACTOR_TASKS, JACKPOTS, ONE_FACTOR, RATES
from races import lead


def factor_table(rows: Rows) -> str:
    """Question 3: one factor at a time."""
    lines = []
    for arm in ONE_FACTOR:
        line = [arm]
        for task in FACTOR_TASKS:
            found = of(rows, question="factor", arm=arm, task=task)
            seeds = {row["seed"] for row in found}
            every = of(rows, question="main", arm="ours", task=task, sparsity=0.9375)
            base = [row for row in every if row["seed"] in seeds]
            line += [
                ", ".join(str(seed) for seed in sorted(seeds)) or "-",
                f"{mean(r['selection'] for r in found):.4f}" if found else "-",
                f"{mean(r['selection'] for r in base):.4f}" if base else "-",
                f"{mean(r['dev'] for r in found):.4f}" if found else "-",
                signed(gap(found, base)) if found else "-",
            ]
        if any(cell != "-" for cell in line[1:]):
            lines.append(line)
    if not lines:
        return ""
    header = ["changed"]
    for task in FACTOR_TASKS:
        header += [f"{task}, seeds", "selection", "that of (c)", "dev", "to (c), points"]
    return (
        "## What helps\n\n(c) at 93.75 % with one thing changed, beside (c) with the same seeds. Where "
        "weights are refitted the training is 0.3 epochs shorter, and 0.6 where candidates are as well. "
        f"Before the training it took as long as so many steps: {refits(rows)}; before the race it was not "
        "timed.\n\n" + table(header, lines)
    )


def refits(rows: Rows) -> str:
    """How many training steps' time the refitting of a mask took, a row."""
    counted = [row for row in of(rows, question="factor") if row["steps"].get("refit")]
    return (
        ", ".join(f"{row['steps']['refit']} on {row['task']}" for row in counted) or "not measured"
    )


def jackpot_table(rows: Rows) -> str:
    """Question 5: a mask search between the selection and the training."""
    lines = []
    for task in EARLY_TASKS:
        plain = of(rows, question="jackpot", arm="finetune", task=task)
        for arm in JACKPOTS:
            for row in of(rows, question="jackpot", arm=arm, task=task):
                steps = row["steps"]
                lines.append(
                    [
                        *(task, arm, f"{steps.get('search', 0):,}", f"{steps['training']:,}"),
                        f"{row['selection']:.4f}",
                        f"{row['dev']:.4f}",
                        signed(gap([row], plain)) if arm != "finetune" else "",
                    ]
                )
    if not lines:
        return ""
    header = ["task", "after the selection", "search steps", "training steps", "selection", "dev"]
    return (
        "## A jackpot before the training\n\nThe best mask of the race of centres at 93.75 %, trained as it "
        "is for three epochs, or changed by a jackpot search of one epoch and trained for two.\n\n"
        + table([*header, "to training alone, points"], lines)
    )


def rate_table(rows: Rows) -> str:
    """How fast to learn, and with how much dropout: by the selection split, as a user would choose."""
    lines = [
        [*arm, f"{row['selection']:.4f}", f"{row['dev']:.4f}"]
        for arm in RATES
        for row in of(rows, question="rate", arm="-".join(arm))
    ]
    if not lines:
        return ""
    header = ["learns from", "learning rate", "dropout", "selection", "dev"]
    return (
        "## Learning rate and dropout\n\nSST-2 at 93.75 %, two epochs under one mask; chosen by the "
        "selection split.\n\n" + table(header, lines)
    )


def beside_ours(rows: Rows, arm: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows of one changed factor, each with the row of (c) that it was changed from."""
    return [
        (changed, mine)
        for changed in of(rows, question="factor", arm=arm)
        for mine in of(rows, question="main", arm="ours", task=changed["task"])
        if (mine["sparsity"], mine["seed"]) == (changed["sparsity"], changed["seed"])
    ]


def defaults(rows: Rows) -> str:
    """Question 6: what became the default, and on which evidence; what did not help."""
    said = []
    races = {row["task"]: row for row in of(rows, question="race", arm="centres")}
    if races:
        lowest = [f"{lead(row)} on {task}" for task, row in races.items()]
        said.append(
            "**Draws around Fisher information, after the masks without noise** (`--importance fisher`). "
            f"Lowest in the race of centres: {', '.join(lowest)}. Magnitude stays in every pool as "
            "the control. No allocation is best on all tasks, so uniform and global are both in the pool."
        )
    for kept, mine in beside_ours(rows, "take-evidence"):
        said.append(
            f"**`run` takes the lowest loss of a race**, evidence or not. On {kept['task']} that is "
            f"{mine['selection']:.4f} on the selection split, and {kept['selection']:.4f} with the control, "
            "which is kept for want of evidence. One seed of one task."
        )
    pairs = []
    for how in ("teacher", "labels"):
        found = {rate: of(rows, question="rate", arm=f"{how}-4e-4-{rate}") for rate in ("0", "0.1")}
        if all(found.values()):
            without, with_it = (found[rate][0]["selection"] for rate in ("0", "0.1"))
            pairs.append(f"{without:.4f} without and {with_it:.4f} with it from {how}")
    if pairs:
        said.append(
            "**No dropout while a pruned model trains** (`--dropout 0`). On sst2's selection split: "
            + "; ".join(pairs)
            + "."
        )
    for lean, mine in beside_ours(rows, "lean-race"):
        said.append(
            f"Left as it was: the race's budget. A tenth instead of a quarter, the epochs given to the "
            f"training, has {lean['selection']:.4f} against {mine['selection']:.4f} on the selection "
            f"split of {lean['task']}, and on dev {signed(gap([lean], [mine]))} points."
        )
    refitted = [
        f"{changed['selection']:.4f} against {mine['selection']:.4f} on the selection split of "
        f"{changed['task']} (seed {changed['seed']}), on dev {signed(gap([changed], [mine]))} points"
        for changed, mine in beside_ours(rows, "refit-race")
    ]
    if refitted:
        said.append(
            "Not a default yet: refitting, of the candidates before they race and of the mask before it is "
            f"trained (`--race-refit 32 --refit 256`). {'; '.join(refitted)}."
        )
    if not said:
        return ""
    return "## What became the default\n\n" + "\n".join(f"- {one}" for one in said) + "\n"
