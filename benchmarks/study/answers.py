"""Questions 3 to 6 of the study: what helps, what the race sees early, jackpots, defaults."""

from __future__ import annotations

from typing import Any

from compare import Rows, gap, mean, of, share, signed, table
from grid import EARLY_TASKS, FACTOR_TASKS, JACKPOTS, ONE_FACTOR, RATES, TASKS
from scipy.stats import spearmanr

from rpmask.records import IMPORTANCES


def early_table(rows: Rows) -> str:
    """Question 4: rank correlation of each rung with the final dev metric."""
    lines = []
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        if len(found) < 4:
            continue
        index = [int(row["arm"].removeprefix("take")) for row in found]
        curves = found[0]["rungs"]
        for rung, (step, _) in enumerate(curves[0]):
            line = [task, f"{step:,}", str(len(found))]
            for judge in ("selection", "dev"):
                rank = spearmanr(
                    [-curves[i][rung][1] for i in index], [row[judge] for row in found]
                )
                line += [f"{rank.statistic:+.2f}", chance(rank.pvalue)]
            lines.append(line)
    title = "## Does the early score predict the final one?\n\n" + within_table(rows)
    if not lines:
        return title if of(rows, question="race", arm="centres") else ""
    header = ["task", "rung at step", "masks", "with selection", "p", "with dev", "p"]
    return (
        f"{title}\nThe masks of the race of centres, trained anew "
        "for two epochs each: Spearman's rank correlation of each rung's held-out loss (lower is "
        "better) with the final metric.\n\n" + table(header, lines) + "\n" + finals_table(rows)
    )


def within_table(rows: Rows) -> str:
    """How a race's early rungs rank its masks, against its last one."""
    lines = []
    for row in of(rows, question="race", arm="centres"):
        *early, last = zip(*row["rungs"], strict=True)
        for rung in early:
            rank = spearmanr([loss for _, loss in rung], [loss for _, loss in last])
            lines.append(
                [
                    *(row["task"], f"{rung[0][0]:,}", f"{last[0][0]:,}", str(len(rung))),
                    *(f"{rank.statistic:+.2f}", chance(rank.pvalue)),
                ]
            )
    header = ["task", "rung at step", "last rung", "masks", "rank correlation", "p"]
    return (
        "Inside the race of centres: Spearman's rank correlation of each rung's held-out loss with the last "
        "rung's.\n\n" + table(header, lines)
    )


def chance(p: float) -> str:
    """A p value."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def finals_table(rows: Rows) -> str:
    """Where every mask of the race of centres ended."""
    header = ["task", "importance", "allocation", "loss after an epoch", "selection", "dev"]
    lines = []
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        for row in sorted(found, key=lambda row: -float(row["selection"])):
            mine = row["kept"][-1]
            index = int(row["arm"].removeprefix("take"))
            lines.append(
                [
                    *(task, mine["importance"], share(mine["allocation"])),
                    f"{row['rungs'][index][-1][1]:.4f}",
                    f"{row['selection']:.4f}",
                    f"{row['dev']:.4f}",
                ]
            )
    return table(header, lines)


def centre_table(rows: Rows) -> str:
    """Question 3, importance and allocation: every centre without noise in one race."""
    found = {row["task"]: row for row in of(rows, question="race", arm="centres")}
    if not found:
        return ""
    tasks = [task for task in TASKS if task in found]
    places = [(one["importance"], one["allocation"]) for one in found[tasks[0]]["pool"]]
    lines = []
    for place in sorted(places, key=lambda one: (IMPORTANCES.index(one[0]), one[1])):
        line = [place[0], share(place[1])]
        for task in tasks:
            row = found[task]
            index = [(one["importance"], one["allocation"]) for one in row["pool"]].index(place)
            lower = row["ahead_of_control"][index]
            loss = row["rungs"][index][-1:]
            shown = "control" if row["pool"][index]["control"] else "-"
            line += [f"{loss[0][1]:.4f}" if loss else "-", signed(lower) if lower else shown]
        lines.append(line)
    header = ["importance", "allocation"]
    for task in tasks:
        header += [f"{task}, loss", "lower by, hundredths"]
    return (
        "## Which centre\n\nThe masks without noise at 93.75 %, each trained for one epoch on the same "
        "batches: the held-out loss at the end, and by how much it is lower than the control's, with its "
        "95 % interval over the held-out rows.\n\n" + table(header, lines)
    )


def lead(row: dict[str, Any]) -> str:
    """The lowest loss of a race, and how far it is ahead of the control."""
    index = min(range(len(row["pool"])), key=lambda i: float(row["rungs"][i][-1][1]))
    mine, lower = row["pool"][index], row["ahead_of_control"][index]
    return f"{mine['importance']}, {share(mine['allocation'])} ({signed(lower) if lower else 'the control'})"


def noise_table(rows: Rows) -> str:
    """Question 3, randomness: draws around one centre, and the centre itself."""
    lines = []
    for task in TASKS:
        for row in of(rows, question="race", arm="noise", task=task):
            drawn = [i for i, one in enumerate(row["pool"]) if one["temperature"] > 0]
            for i in sorted(drawn, key=lambda i: float(row["pool"][i]["temperature"])):
                one = row["pool"][i]
                lower = row["ahead_of_centre"][i]
                lines.append(
                    [
                        task,
                        f"{one['temperature']:.2f}",
                        f"{one['sample_ratio']:.1g}",
                        f"{row['rungs'][i][-1][1]:.4f}",
                        signed(lower) if lower else "-",
                    ]
                )
    if not lines:
        return ""
    header = ["task", "temperature", "ratio", "loss", "lower than its centre by, hundredths"]
    return (
        "## What noise adds\n\nDraws around Fisher information with one global threshold at 93.75 %, beside "
        "that mask without noise, in one race of an epoch each.\n\n" + table(header, lines)
    )


def factor_table(rows: Rows) -> str:
    """Question 3: one factor at a time."""
    lines = []
    for arm in ONE_FACTOR:
        line = [arm]
        for task in FACTOR_TASKS:
            found = of(rows, question="factor", arm=arm, task=task)
            base = of(rows, question="main", arm="ours", task=task, sparsity=0.9375)
            line += [
                f"{mean(r['selection'] for r in found):.4f}" if found else "-",
                f"{mean(r['dev'] for r in found):.4f} ({len(found)})" if found else "-",
                signed(gap(found, base)) if found else "-",
            ]
        if any(cell != "-" for cell in line[1:]):
            lines.append(line)
    if not lines:
        return ""
    header = ["changed"]
    for task in FACTOR_TASKS:
        header += [f"{task}, selection", "dev", "to (c), points"]
    chosen = [
        f"{task} {mean(r['selection'] for r in base):.4f}"
        for task in FACTOR_TASKS
        if (base := of(rows, question="main", arm="ours", task=task, sparsity=0.9375))
    ]
    return (
        "## What helps\n\n(c) at 93.75 % with one thing changed; seeds in brackets. On the selection split "
        f"(c) has {', '.join(chosen)}.\n\n" + table(header, lines)
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
    if not said:
        return ""
    return "## What became the default\n\n" + "\n".join(f"- {one}" for one in said) + "\n"
