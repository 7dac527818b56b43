"""What one thing changed makes of a training: factors, jackpots, rates, defaults (questions 3, 5 and 6)."""

from __future__ import annotations

from itertools import product
from typing import Any

from compare import Rows, agreement, gap, mean, of, signed, table
from grid import ARMS, FACTOR_TASKS, JACKPOT_TASKS, JACKPOTS, ONE_FACTOR, RATES, SPARSITIES
from races import lead

from rpmask.steps.screen_request import RACE_REFIT_ROWS
from rpmask.train.plan import REFIT_FROM, REFIT_ROWS
from rpmask.words import percent

# Single factors were changed from what was (c) before, and from (d), too.
ORIGINS = {
    "refit-alone": "refit-alone",
    "no-refit": "no-refit",
    "levels": "(d)",
    "tightened": "(e)",
}
AGAIN = "k8"  # (c) with another dense model
WHERE = ("task", "sparsity", "seed", "dense")


def changed_from(rows: Rows, changed: dict[str, Any]) -> Rows:
    """The row that one changed factor was changed from, if it was walked: (c), what was (c), or (d)."""
    was = origin(changed["arm"]) or "ours"
    question = "main" if was in ARMS else "factor"
    same = of(rows, **{key: changed[key] for key in WHERE})
    found = of(same, question=question, arm=was)
    return found or of(same, question="factor", arm=AGAIN if was == "ours" else was)


def origin(arm: str) -> str:
    """What a factor was changed from; nothing if it was (c)."""
    if arm == "no-refit":
        return "refit-alone"
    return next((was for was in ORIGINS if arm.startswith(f"{was}-")), "")


def factor_table(rows: Rows) -> str:
    """Question 3: one factor at a time."""
    lines = []
    for arm in ONE_FACTOR:
        for task, sparsity in product(FACTOR_TASKS, SPARSITIES):
            here = of(rows, task=task, sparsity=sparsity)
            pairs = beside_origin(here, arm)
            if not pairs:
                continue
            found, base = ([pair[side] for pair in pairs] for side in (0, 1))
            was = origin(arm)
            lines.append(
                [
                    arm.removeprefix(f"{was}-"),
                    ORIGINS.get(was, "(c)"),
                    *(task, percent(sparsity), ", ".join(str(row["seed"]) for row in found)),
                    *(f"{mean(r['selection'] for r in side):.4f}" for side in (found, base)),
                    *(f"{mean(r['dev'] for r in side):.4f}" for side in (found, base)),
                    *(agreement(side) for side in (found, base)),
                    signed(gap(found, base)),
                    f"{mean(sum(r['steps'].values()) for r in found):,.0f}",
                ]
            )
    if not lines:
        return ""
    header = [
        *("changed", "from", "task", "sparse", "seeds"),
        *("selection", "unchanged", "dev", "unchanged", "agreement", "unchanged"),
    ]
    return (
        "## What helps\n\nOne thing changed, beside what it was changed from with the same seeds. "
        "*refit-alone* is (c) with races on labels, at 2e-4, and trained embeddings; *no-refit* is that "
        "without refitting, and trains 0.6 epochs longer. *race-labels* are at 2e-4 as well. Where "
        "*train-embeddings* and *refit-alone* took the same mask they are the same training. *unraced* "
        "trains Fisher information with one threshold for 7.4 epochs; its steps count a race that decides "
        "nothing. *defaults* from (e) is `rpmask run` with its default epochs, races and learning rates, "
        "*slowly* the same at 1.5e-4 in training, and *defaults* from (d) what it was when levels were its "
        "default.\n\n" + table([*header, "to unchanged, points", "steps"], lines)
    )


ASKED = {  # question 3, of (c): what the page's first lines say of single factors
    "k4": "four masks instead of eight",
    "k16": "sixteen masks",
    "generations-3": "three generations of races instead of one",
    "no-hidden": "no distillation of hidden states",
    "no-logits": "no distillation of logits",
    "labels-only": "labels alone",
}


def factors_said(rows: Rows) -> str:
    """What changing (c) in one thing comes to, in the order of the question."""
    said = []
    for arm, what in ASKED.items():
        gaps = [
            f"{signed(gap([mine], [was]))} on {mine['task']} {percent(mine['sparsity'])}"
            for mine, was in beside_origin(rows, arm)
        ]
        if gaps:
            said.append(f"{what}: {', '.join(gaps)}")
    return (
        f"(c) with one thing changed, for about the same steps, minus (c), in points. {'; '.join(said)}."
        if said
        else ""
    )


def refits(rows: Rows) -> str:
    """How many training steps' time refitting took: of eight candidates and of the mask that was trained."""
    refitted = [*of(rows, question="main", arm="ours"), *of(rows, arm="refit-alone")]
    counted = [row for row in refitted if row["steps"].get("refit")]
    each = sorted(row["steps"]["refit"] for row in counted)
    return f"{each[0]} to {each[-1]}" if each else "not measured"


def jackpot_table(rows: Rows) -> str:
    """Question 5: a mask search between the selection and the training."""
    lines = []
    for task in JACKPOT_TASKS:
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
        "## A jackpot before the training\n\nThe mask that (c) takes at 93.75 %, trained without refitting "
        "for 5.4 epochs, or changed by a jackpot search of one epoch and trained for 4.4.\n\n"
        + table([*header, "to training alone, points"], lines)
    )


def jackpot_said(rows: Rows) -> str:
    """The points on dev that a search in the place of training makes."""
    searched = {
        task: gap(
            of(rows, question="jackpot", arm="jackpot-finetune", task=task),
            of(rows, question="jackpot", arm="finetune", task=task),
        )
        for task in JACKPOT_TASKS
    }
    found = [f"{signed(one)} on {task}" for task, one in searched.items() if one is not None]
    return ", ".join(found)


MORE_STEPS = {
    "tightened-defaults": "`rpmask run` with its default epochs, races and learning rates",
    "levels-defaults": "`rpmask run` as it was when levels were its default",
    "levels-long": "(d) with three times the steps",
}


def longer_said(rows: Rows) -> list[str]:
    """What is kept in more steps than the comparison's, beside the arm in those."""
    said = []
    for arm, what in MORE_STEPS.items():
        each = [
            f"{mine['retention']:.1%} on {mine['task']} {percent(mine['sparsity'])} in "
            f"{sum(mine['steps'].values()):,} steps, {ORIGINS[its['arm']]} {its['retention']:.1%} in "
            f"{sum(its['steps'].values()):,} (seed {mine['seed']})"
            for mine, its in beside_origin(rows, arm)
        ]
        if each:
            said.append(f"{what} keeps {'; '.join(each)}.")
    return said


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
        "## Dropout\n\nSST-2 at 93.75 %, two epochs under one mask; chosen by the selection split."
        "\n\n" + table(header, lines)
    )


def beside_origin(rows: Rows, arm: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows of one changed factor, each with the row that it was changed from."""
    return [
        (changed, origin)
        for changed in of(rows, question="factor", arm=arm)
        for origin in changed_from(rows, changed)
    ]


def beside(rows: Rows, mine: dict[str, Any], other: dict[str, Any]) -> list[tuple[Any, Any]]:
    """The rows of one kind, each with that of another kind of the same dense model, task and sparsity."""
    return [
        (row, its)
        for row in of(rows, **mine)
        for its in of(rows, **other, **{key: row[key] for key in WHERE})
    ]


def counted(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """In how many rows a choice is ahead of the same row without it; the same training twice counts not."""
    differ = [(mine, was) for mine, was in pairs if mine["resampled"] != was["resampled"]]
    ahead = {
        key: sum(mine[key] > was[key] for mine, was in differ)
        for key in ("selection", "dev", "agreement")
    }
    where = dict.fromkeys(
        f"{mine['task']} {percent(mine['sparsity'])}, seed {mine['seed']}" for mine, _ in differ
    )
    pairs_of = f"{len(differ)} pairs of" if len(where) < len(differ) else "the"
    return (
        f"Of {pairs_of} rows computed ({'; '.join(where)}) the selection split is better in "
        f"{ahead['selection']}, dev in {ahead['dev']}, agreement with the dense model in {ahead['agreement']}"
    )


KEPT = {
    (
        "k4",
        "k16",
        "generations-3",
    ): "**Eight masks in one generation** (`--k 8 --generations 1`), beside "
    "four, sixteen, and three generations of eight",
    (
        "no-hidden",
        "no-logits",
        "labels-only",
    ): "**Logits and hidden states of the dense model, and some of "
    "the labels**, beside each term left out, and labels alone",
}
LEFT_OUT = {
    "augment": "perturbed copies of the training rows, distilled from the dense model (`--augment 4`)",
    "true-fisher": "draws around Fisher information of the dense model's own answers (`--importance "
    "true-fisher`)",
    "double-rate": "twice the learning rate, in races and training",
}


def defaults(rows: Rows) -> str:
    """Question 6: what became the default, and on which evidence; what did not help."""
    said = []
    races = {row["task"]: row for row in of(rows, question="race", arm="centres")}
    if races:
        lowest = [f"{lead(row)} on {task}" for task, row in races.items()]
        said.append(
            "**Draws around Fisher information, after the masks without noise** (`--importance fisher`). "
            f"Lowest loss in the race of centres: {', '.join(lowest)}. Magnitude stays in every pool as "
            "the control. Where intervals include zero the race tells nothing apart; uniform and global "
            "are both in the pool."
        )
    for kept, mine in beside_origin(rows, "no-refit-take-evidence"):
        said.append(
            "**`run` takes the top-ranked mask of a race**, evidence or not. Without refitting, on "
            f"{kept['task']}, this mask reaches {mine['selection']:.4f} on the selection split, and the "
            f"control, which is kept without evidence, {kept['selection']:.4f}."
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
    for lean, mine in beside_origin(rows, "no-refit-lean-race"):
        said.append(
            "Left as it was: the race's budget. A tenth instead of a quarter, the epochs given to the "
            f"training, without refitting, has {lean['selection']:.4f} against {mine['selection']:.4f} on "
            f"the selection split of {lean['task']}, and on dev {signed(gap([lean], [mine]))} points."
        )
    for arms, what in KEPT.items():
        pairs = [(mine, was) for arm in arms for was, mine in beside_origin(rows, arm)]
        if pairs:
            said.append(f"{what}. {counted(pairs)}; the differences on dev are in the table above.")
    refitted = [(mine, was) for was, mine in beside_origin(rows, "no-refit")]
    if refitted:
        said.append(
            "**Weights are refitted**, those of the candidates before they race and those of the mask before "
            f"it is trained, from {percent(REFIT_FROM)} sparsity on (`--race-refit {RACE_REFIT_ROWS} --refit "
            f"{REFIT_ROWS}`), in place of 0.6 epochs of training. {counted(refitted)}. The border is a "
            "judgement: nothing was measured below 93.75%."
        )
    taught = beside(rows, {"question": "factor", "arm": "train-embeddings"}, {"arm": "refit-alone"})
    if taught:
        said.append(
            "**Races learn from the dense model** (`--race-distill`), *train-embeddings* beside "
            "*refit-alone*; here at the rate of the training, which is no default, where the race on labels "
            "had half of it. "
            f"{counted(taught)}; where else both were computed they took the same mask."
        )
    frozen = [(mine, was) for was, mine in beside_origin(rows, "train-embeddings")]
    if frozen:
        said.append(
            "**Embeddings are frozen**, in races and training (`--freeze-embeddings`), because a step takes "
            "no longer and the optimizer keeps nothing for them ([measured](measured.md#training)), not "
            f"because it was seen to help. {counted(frozen)}."
        )
    stepped = beside(
        rows, {"question": "main", "arm": "levels"}, {"question": "main", "arm": "ours"}
    )
    if stepped:
        said.append(
            "**`run` goes level by level** unless `--one-shot` is given, (d) beside (c). "
            f"{counted(stepped)}."
        )
    for arm, what in LEFT_OUT.items():
        if tried := beside_origin(rows, arm):
            said.append(
                f"Left out: {what}. {counted(tried)}; the differences on dev are in the table above."
            )
    if points := jackpot_said(rows):
        said.append(
            "Left out: a jackpot search between the selection and the training, in place of an epoch of "
            f"training. Points on dev: {points}."
        )
    if not said:
        return ""
    return "## What became the default\n\n" + "\n".join(f"- {one}" for one in said) + "\n"
