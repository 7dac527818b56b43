"""The page of results in a few sentences, each counted from the rows that are there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from answers import beside_origin
from compare import Rows, difference, mean, of, points
from grid import ARMS, SEEDS, SPARSITIES, TASKS
from races import EARLY_TASKS, draws_beside_centres, ranked
from retention import AT_CHANCE, TARGETS

from rpmask.words import counted, percent

LEARNT = [task for task in TASKS if task not in AT_CHANCE]


def sentences(rows: Rows) -> str:
    """What a reader takes from the study."""
    parts = (kept, hardest, ways, paper, races, draws, defaults, longer, early)
    return "\n".join(f"- {one}" for part in parts for one in part(rows)) + "\n"


def kept(rows: Rows) -> Iterator[str]:
    """The mean over the tasks beside the target."""
    for arm, name in (("levels", "By levels (d)"), ("tightened", "Tightened (e)")):
        found, seeds = [], SEEDS
        for sparsity in SPARSITIES:
            here = _by_task(rows, arm, sparsity)
            if len(here) == len(LEARNT):
                whole = mean(mean(row["retention"] for row in each) for each in here.values())
                found.append((sparsity, whole, TARGETS[sparsity]))
                seeds = min(seeds, *(len(each) for each in here.values()))
        if not found:
            continue
        places = ", ".join(percent(sparsity) for sparsity, _, _ in found)
        shares = ", ".join(f"{whole:.1%}" for _, whole, _ in found)
        targets = ", ".join(f"{target:.1%}" for _, _, target in found)
        reached = sum(whole >= target for _, whole, target in found)
        few = "" if seeds == SEEDS else f", some of them with {counted(seeds, 'seed')} so far"
        yield (
            f"{name}, **{shares}** of the dense metric are kept at {places} sparsity, as the mean of "
            f"{', '.join(LEARNT)}{few}. Targets, set before anything was measured: {targets}; "
            f"{reached} of {len(found)} reached."
        )


def hardest(rows: Rows) -> Iterator[str]:
    """The task that loses most, and what the others keep without it."""
    shares = {}
    for sparsity in SPARSITIES:
        for task, here in _by_task(rows, "levels", sparsity).items():
            shares.setdefault(task, []).append(mean(row["retention"] for row in here))
    if len(shares) < 2:
        return
    worst = min(shares, key=lambda task: mean(shares[task]))
    rest = [each for task, each in shares.items() if task != worst]
    without = ", ".join(f"{mean(column):.1%}" for column in zip(*rest, strict=True))
    yield f"By levels, {worst} loses most. Without it the means are {without}."


def ways(rows: Rows) -> Iterator[str]:
    """Levels beside one shot, and tightening beside levels."""
    for arm, other, said in (
        ("levels", "ours", "Levels (d) keep more than one shot (c)"),
        ("tightened", "levels", "Tightening (e) keeps more than levels (d)"),
    ):
        better, worse, places = _compared(rows, arm, other, SPARSITIES)
        if places:
            yield (
                f"{said}, with an interval that excludes zero, in {len(better)} of {places} comparisons "
                f"({', '.join(better) or 'none'}), and less in {len(worse)} ({', '.join(worse) or 'none'})."
            )


def paper(rows: Rows) -> Iterator[str]:
    """The paper's recipe beside plain magnitude, where the paper claims most."""
    better, worse, places = _compared(rows, "paper", "magnitude", SPARSITIES[1:])
    if places:
        yield (
            f"The paper's recipe (b), at a ninth of its length, beats magnitude (a) at 97% and 99% in "
            f"{len(better)} of {places} comparisons, and loses in {len(worse)}."
        )
    ours, _, places = _compared(rows, "ours", "magnitude", SPARSITIES[1:])
    levels, _, _ = _compared(rows, "levels", "magnitude", SPARSITIES[1:])
    if places:
        yield (
            f"At 97% and 99%, (c) beats magnitude in {len(ours)} of {places} comparisons, (d) in "
            f"{len(levels)}."
        )


def races(rows: Rows) -> Iterator[str]:
    """How often a race has evidence."""
    found = of(rows, question="main", arm="ours")
    won = sum(row["verdicts"][-1] == "better" for row in found)
    if found:
        yield (
            f"{won} of {len(found)} races of (c) had [evidence](concepts.md#evidence) that a mask is better "
            "than the magnitude mask. The top-ranked mask was trained in either case."
        )


def draws(rows: Rows) -> Iterator[str]:
    """What randomness adds to the mask that is drawn around."""
    found = draws_beside_centres(of(rows, question="main", arm="ours"))
    if found:
        ahead, behind = sum(d[1] > 0 for d in found), sum(d[2] < 0 for d in found)
        yield (
            f"Of {len(found)} random masks that raced as long as the mask they were drawn around, {ahead} "
            f"had a lower loss than it and {behind} a higher one, with intervals that exclude zero: the "
            "noise does not help."
        )


def defaults(rows: Rows) -> Iterator[str]:
    """`rpmask run` as it stands."""
    found = [mine for mine, _ in beside_origin(rows, "tightened-defaults")]
    if found:
        each = ", ".join(f"{row['task']} {row['retention']:.0%}" for row in found)
        steps = sum(sum(row["steps"].values()) for row in found)
        its = sum(
            sum(one["steps"].values()) for _, one in beside_origin(rows, "tightened-defaults")
        )
        yield (
            f"`rpmask run` with its default learning rates, epochs and races keeps at "
            f"{percent(found[0]['sparsity'])} (one seed each): {each}, in {steps / its:.1f} times the steps "
            "of (e)."
        )


def longer(rows: Rows) -> Iterator[str]:
    """More steps."""
    pairs = beside_origin(rows, "levels-long")
    if pairs:
        each = ", ".join(
            f"{100 * (mine['retention'] - its['retention']):+.0f} on {mine['task']} at "
            f"{percent(mine['sparsity'])}"
            for mine, its in pairs
        )
        yield f"Three times the steps change the retention of (d), in points: {each}."


def early(rows: Rows) -> Iterator[str]:
    """How well a race foretells."""
    for task in EARLY_TASKS:
        found = of(rows, question="early", task=task)
        if len(found) >= 4:
            first, *_, last = ranked(found, "selection")
            yield (
                f"Rank correlation (Spearman) of {len(found)} masks on {task}, in the race and after two "
                f"more epochs: {first[1]:+.2f} at step {first[0]:,} of the race, {last[1]:+.2f} at step "
                f"{last[0]:,}."
            )


def _by_task(rows: Rows, arm: str, sparsity: float) -> dict[str, Rows]:
    here = of(rows, question="main", arm=arm, sparsity=sparsity)
    return {task: found for task in LEARNT if (found := of(here, task=task))}


def _compared(
    rows: Rows, arm: str, other: str, sparsities: tuple[float, ...]
) -> tuple[list[str], list[str], int]:
    """Where an arm is ahead of another and where behind, beyond chance, and the number of places."""
    assert {arm, other} <= set(ARMS)
    better, worse, places = [], [], 0
    for sparsity, task in product(sparsities, LEARNT):
        mine, its = (_by_task(rows, one, sparsity).get(task, []) for one in (arm, other))
        if (found := difference(mine, its)) is None:
            continue
        places += 1
        _, low, high = points(found)
        name = f"{task} {percent(sparsity)}"
        better += [name] if low > 0 else []
        worse += [name] if high < 0 else []
    return better, worse, places
