"""What the races of the study say: centres, noise, and what is seen of a mask early (questions 3 and 4)."""

from __future__ import annotations

from typing import Any

from compare import Rows, gap, of, share, signed, table
from grid import EARLY_TASKS, TASKS
from scipy.stats import spearmanr

from rpmask.records import IMPORTANCES
from rpmask.words import percent

SEARCHLESS = {
    "unraced": "the Fisher mask with one threshold, without a race and trained for its steps instead",
    "take-control": "the magnitude mask of the same race, refitted and trained as (c) is",
}


def early_table(rows: Rows) -> str:
    """Question 4: rank correlation of each rung with the final dev metric."""
    lines = []
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        if len(found) < 4:
            continue
        judged = zip(ranked(found, "selection"), ranked(found, "dev"), strict=True)
        for (step, *selection), (_, *dev) in judged:
            lines.append(
                [
                    *(task, f"{step:,}", str(len(found))),
                    *(f"{selection[0]:+.2f}", chance(selection[1])),
                    *(f"{dev[0]:+.2f}", chance(dev[1])),
                ]
            )
    title = "## Does the early score predict the final one?\n\n" + within_table(rows)
    if not lines:
        return title if of(rows, question="race", arm="centres") else ""
    header = ["task", "rung at step", "masks", "with selection", "p", "with dev", "p"]
    return (
        f"{title}\nThe same centres, raced as (c) races: refitted, and ranked by how near they come to the "
        "dense model's answers. Each is then trained for two epochs. Spearman's rank correlation of the "
        "nearness at each rung with the final metric:\n\n"
        + table(header, lines)
        + "\n"
        + finals_table(rows)
    )


def early_said(rows: Rows) -> list[str]:
    """Question 4 in a sentence a task: the first and the last look, and the final metric."""
    said = []
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        if len(found) < 4:
            continue
        first, *_, last = ranked(found, "selection")
        said.append(
            f"Rank correlation (Spearman) of {len(found)} masks on {task}, by their distance from the dense "
            "model in a race (nearest first) and by the selection metric after two more epochs: "
            f"{first[1]:+.2f} at step {first[0]:,}, {last[1]:+.2f} at step {last[0]:,}."
        )
    return said


def draws_beside_centres(rows: Rows) -> list[list[float]]:
    """How much lower the loss of each draw was than that of the mask it was drawn around."""
    return [
        lower
        for row in rows
        for one, lower in zip(row["pool"], row["ahead_of_centre"], strict=True)
        if one["temperature"] > 0 and lower is not None
    ]


def search_said(rows: Rows) -> list[str]:
    """What drawing and racing are worth, as far as rows tell."""
    said = []
    ours, paper = (of(rows, question="main", arm=arm) for arm in ("ours", "paper"))
    if ours and paper:
        won = [sum(row["verdicts"][-1] == "better" for row in side) for side in (ours, paper)]
        draws = draws_beside_centres(ours)
        ahead, behind = sum(d[1] > 0 for d in draws), sum(d[2] < 0 for d in draws)
        said.append(
            f"Of {len(ours)} races of (c) {won[0]} had evidence that a mask is better than the magnitude "
            f"mask, of {len(paper)} races of (b) at its last level {won[1]}. Of {len(draws)} draws of (c) "
            f"that raced as long as the deterministic mask they were drawn around, {ahead} had a lower loss "
            f"and {behind} a higher one, with intervals that exclude zero."
        )
    for arm, what in SEARCHLESS.items():
        gaps = []
        for task in TASKS:
            changed = of(rows, question="factor", arm=arm, task=task)
            beside = [
                row for row in ours if row["sparsity"] in {one["sparsity"] for one in changed}
            ]
            if (found := gap(of(beside, task=task), changed)) is not None:
                gaps.append(f"{signed(found)} on {task} {percent(changed[0]['sparsity'])}")
        if gaps:
            said.append(f"(c) minus {what}, in points: {', '.join(gaps)}.")
    return said


def ranked(found: Rows, judge: str) -> list[tuple[int, float, float]]:
    """For each rung: its step, and the rank correlation of nearness there with a final metric, and p."""
    curves = found[0]["rungs"]
    index = [int(row["arm"].removeprefix("take")) for row in found]
    ranks = []
    for rung, (step, *_) in enumerate(curves[0]):
        rank = spearmanr([-curves[i][rung][-1] for i in index], [row[judge] for row in found])
        ranks.append((step, float(rank.statistic), float(rank.pvalue)))
    return ranks


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
    """Where every centre ended."""
    header = ["task", "importance", "allocation", "distance after an epoch", "selection", "dev"]
    lines = []
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        for row in sorted(found, key=lambda row: -float(row["selection"])):
            mine = row["kept"][-1]
            index = int(row["arm"].removeprefix("take"))
            lines.append(
                [
                    *(task, mine["importance"], share(mine["allocation"])),
                    f"{row['rungs'][index][-1][-1]:.4f}",
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


def fishers_table(rows: Rows) -> str:
    """Question 3, importance: whose labels the Fisher information is of, in races as (c) has them."""
    lines = []
    for row in of(rows, question="race", arm="fishers"):
        for index, one in enumerate(row["pool"]):
            if (lower := row["ahead_of_fisher"][index]) is None:
                continue
            place = ("fisher", one["allocation"])
            other = [(o["importance"], o["allocation"]) for o in row["pool"]].index(place)
            lines.append(
                [
                    *(row["task"], str(row["seed"]), share(one["allocation"])),
                    *(f"{row['rungs'][i][-1][-1]:.4f}" for i in (other, index)),
                    signed(lower),
                ]
            )
    if not lines:
        return ""
    header = ["task", "seed", "allocation", "fisher", "true-fisher", "loss lower by, hundredths"]
    return (
        "## Whose labels\n\nFisher information of the data's labels, and of labels drawn from the dense "
        "model's own answers (`true-fisher`): masks without noise at 97 %, refitted and raced for one epoch "
        "as (c) races. How far their answers are from the dense model's at the end, and by how much the "
        "held-out loss on the labels is lower with the second, with its 95 % interval over the rows.\n\n"
        + table(header, lines)
    )


def look_table(rows: Rows) -> str:
    """Question 4, before any training: losses of the masks as they are, and refitted."""
    parts = []
    for task in TASKS:
        looks = {
            arm: of(rows, question="race", arm=arm, task=task)
            for arm in ("look", "look-refit", "centres")
        }
        if not (looks["look"] and looks["look-refit"]):
            continue
        shown = {arm: found[0] for arm, found in looks.items() if found}
        pool = shown["look"]["pool"]
        places = [(one["importance"], one["allocation"]) for one in pool]
        columns = {
            arm: dict(
                zip(
                    [(one["importance"], one["allocation"]) for one in row["pool"]],
                    [curve[-1][1] for curve in row["rungs"]],
                    strict=True,
                )
            )
            for arm, row in shown.items()
        }
        lines = [
            [
                task,
                place[0],
                share(place[1]),
                *(f"{found[place]:.4f}" for found in columns.values()),
            ]
            for place in sorted(places, key=lambda one: (IMPORTANCES.index(one[0]), one[1]))
        ]
        header = ["task", "importance", "allocation", "as it is", "refitted"]
        text = table([*header, "after an epoch"][: len(lines[0])], lines)
        if "centres" in columns:
            end = [columns["centres"][place] for place in places]
            for arm, name in (("look", "as they are"), ("look-refit", "refitted")):
                rank = spearmanr([columns[arm][place] for place in places], end)
                text += (
                    f"\nRank correlation with the loss after an epoch, {name}: {rank.statistic:+.2f} "
                    f"(p {chance(rank.pvalue)}).\n"
                )
        parts.append(text)
    if not parts:
        return ""
    return (
        "## A look before any training\n\nThe same masks after one step too small to matter: the held-out "
        "loss of the dense model's weights as they are, and refitted on 64 rows. The last column is the "
        "race's above, without refitting.\n\n" + "\n".join(parts)
    )


def lead(row: dict[str, Any]) -> str:
    """The lowest loss of a race, and how far it is ahead of the control."""
    index = min(range(len(row["pool"])), key=lambda i: float(row["rungs"][i][-1][1]))
    mine, lower = row["pool"][index], row["ahead_of_control"][index]
    return f"{mine['importance']}, {share(mine['allocation'])} ({signed(lower) if lower else 'the control'})"


def noise_table(rows: Rows) -> str:
    """Question 3, randomness: draws around one centre, and the centre itself."""
    lines, ranks = [], []
    for task in TASKS:
        for row in of(rows, question="race", arm="noise", task=task):
            pool = [one for one in enumerate(row["pool"]) if not one[1]["control"]]
            for i, one in sorted(pool, key=lambda drawn: float(drawn[1]["temperature"])):
                lower = row["ahead_of_centre"][i]
                drawn = one["temperature"] > 0
                lines.append(
                    [
                        task,
                        f"{one['temperature']:.2f}" if drawn else "none",
                        f"{one['sample_ratio']:.1g}" if drawn else "",
                        f"{row['rungs'][i][-1][1]:.4f}",
                        signed(lower) if lower else "the centre",
                    ]
                )
            for name in ("temperature", "sample_ratio"):
                found = [
                    (one[name], row["ahead_of_centre"][i][0])
                    for i, one in pool
                    if one["temperature"]
                ]
                rank = spearmanr(*zip(*found, strict=True))
                strength = name.removeprefix("sample_")
                ranks.append(
                    f"{rank.statistic:+.2f} (p {chance(rank.pvalue)}) with its {strength} on {task}"
                )
    if not lines:
        return ""
    header = ["task", "temperature", "ratio", "loss", "lower than its centre by, hundredths"]
    return (
        "## What noise adds\n\nDraws around Fisher information with one global threshold at 93.75 %, beside "
        "that mask without noise, in one race of an epoch each, on labels and without refitting.\n\n"
        + table(header, lines)
        + "\nRank correlation of how much lower a draw's loss is: "
        + ", ".join(ranks)
        + ". Such a race is short: on CoLA no mask has begun to learn when it ends, on MRPC losses differ by "
        "whether one has. It tells how soon a mask learns, which no strength of noise orders here.\n"
    )
