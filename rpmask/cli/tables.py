"""The short table at the end of a verb, from the same object that --json prints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

from rpmask.words import allocation_word, counted, percent, shown_interval


def plain_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], *, left: int = 1
) -> Table:
    """Make a table whose first `left` columns are words and the others numbers, without markup."""
    columns = tuple(columns)
    table = Table(
        title=escape(title),
        title_justify="left",
        show_edge=False,
        pad_edge=False,
        show_header=any(columns),  # names with values need none
    )
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:{form}}"


def address(model: dict[str, Any]) -> str:
    """A registered version with its alias, if it has one."""
    alias = f" @{model['alias']}" if model["alias"] else ""
    return f"models:/{model['name']}/{model['version']}{alias}"


def sample_table(result: dict[str, Any]) -> list[Table | str]:
    """One row per candidate."""
    rows = (
        (
            f"{i}{' control' if c['control'] else ''}",
            c["importance"],
            allocation_word(c["allocation"]),
            f"{c['temperature']:.3g}" if c["temperature"] else "-",
            f"{c['sample_ratio']:.2g}" if c["temperature"] else "-",
            f"{c['kept']:,}",
            f"{c['overlap']:.1%}",
            c["mask_digest"][:10],
        )
        for i, c in enumerate(result["candidates"])
    )
    columns = ("candidate", "importance", "allocation", "T", "ratio", "kept", "overlap", "mask")
    return [
        plain_table(
            f"{counted(result['k'], 'mask')} at {percent(result['sparsity'])}", columns, rows
        ),
    ]


def _sort_key(candidate: dict[str, Any]) -> tuple[int, float]:
    """The longest-lived candidates first, then the lowest score; an unknown score comes last."""
    score = candidate["score"]
    return -len(candidate["rungs"]), math.inf if score is None or math.isnan(score) else score


def screen_table(result: dict[str, Any]) -> list[Table | str]:
    """One row per candidate, best first."""
    candidates = [(str(i), candidate) for i, candidate in enumerate(result["candidates"])]
    candidates.sort(key=lambda numbered: _sort_key(numbered[1]))
    twins = [(f"twin {n} of 0", twin) for n, twin in enumerate(result.get("twins", ()), 1)]
    far = any("distance" in rung for c in result["candidates"] for rung in c["rungs"])
    measured = (*(("distance",) if far else ()), "loss", "metric")
    rows = (
        (
            name,
            c["status"],
            str(c["rungs"][-1]["step"]) if c["rungs"] else "-",
            *(_number(c["rungs"][-1].get(value)) if c["rungs"] else "-" for value in measured),
        )
        for name, c in candidates + twins
    )
    share = result["steps_spent"] / result["steps_full"]
    title = f"race: {result['steps_spent']} steps, {share:.0%} of training each in full"
    return [
        plain_table(title, ("candidate", "status", "step", *measured), rows),
    ]


def _noise(result: dict[str, Any]) -> str:
    """The spread between the control and its twins; without twins the verdict is about examples alone."""
    if result.get("noise") is None:
        return "not measured: no twins ran"
    return f"{result['noise']:.4f}, between the control and {result['twins']} twins"


def _compared(result: dict[str, Any]) -> str:
    """Which candidate's loss is compared with which; older runs do not record the candidate."""
    best = f"candidate {result['best']}'s" if "best" in result else "the best candidate's"
    reference = "the control's" if result.get("noise") is None else "the control's and its twins'"
    return f"{best} loss below {reference}"


def select_table(result: dict[str, Any]) -> list[Table | str]:
    """The verdict and what was registered."""
    rows = (
        ("winner", f"candidate {result['winner']}"),
        ("verdict", result["verdict"]),
        (_compared(result), f"{result['effect']:.4f} {shown_interval(result)}"),
        ("expected to last", _number(result.get("shrunk"))),
        ("training noise", _noise(result)),
        ("registered", address(result["model"])),
    )
    return [
        plain_table(f"selection at {percent(result['sparsity'])}", ("", ""), rows, left=2),
    ]


def finetune_table(result: dict[str, Any]) -> list[Table | str]:
    """The dense model and the sparse one."""
    primary = result["primary"]
    rows = [
        (f"dense {primary} (dev)", _number(result["dense"][primary])),
        (f"sparse {primary} (dev)", _number(result["dev"][primary])),
        ("retention", _number(result["retention"], ".1%")),
        (f"{primary} of the best constant answer", _number(result["majority"][primary])),
        ("registered", address(result["model"])),
    ]
    if result["agreement"] is not None:
        baseline = f"{result['agreement_majority']:.1%} for its most frequent answer"
        rows.insert(
            3, ("agreement with the dense model", f"{result['agreement']:.1%} ({baseline})")
        )
    return [plain_table(f"trained at {percent(result['sparsity'])}", ("", ""), rows, left=2)]


def run_table(result: dict[str, Any]) -> list[Table | str]:
    """One row per level, and the models in the registry."""
    rows = []
    for level in result["levels"]:
        tuned, chosen, raced = level["finetune"], level["select"], level["screen"]
        primary = tuned["primary"]
        control = raced["candidates"][0]["rungs"][-1]["metric"]
        winner = raced["candidates"][chosen["winner"]]["rungs"][-1]["metric"]
        rows.append(
            (
                percent(level["finetune"]["sparsity"]),
                _number(tuned["dense"][primary]),
                _number(control),
                _number(winner),
                chosen["verdict"],
                _number(tuned["dev"][primary]),
                _number(tuned["retention"], ".1%"),
            )
        )
    columns = ("sparsity", "dense", "control*", "winner*", "verdict", "trained", "retention")
    models = {
        "@selected": result["levels"][-1]["select"]["model"],
        "@champion": result["champion"] or {"name": "none yet", "version": "-"},
    }
    registry = [(alias, one["name"], str(one["version"])) for alias, one in models.items()]
    last = result["levels"][-1]
    title = f"{result['task']}: {last['finetune']['primary']}"
    raced = percent(last["sparsity"])
    tightened = raced != percent(last["finetune"]["sparsity"])
    return [
        plain_table(title, columns, rows),
        f"* on the selection split, after the race{f' at {raced}' if tightened else ''}; "
        "dense and trained are on dev",
        plain_table("in the registry", ("alias", "model", "version"), registry),
    ]


def tune_table(result: dict[str, Any]) -> list[Table | str]:
    """One row per generation."""
    best = result["best"]
    rows = []
    for number, generation in enumerate(result["generations"], start=1):
        race = generation["screen"]
        finished = [c["score"] for c in race["candidates"] if c["status"] == "finished"]
        rows.append((str(number), str(race["steps_spent"]), _number(min(finished))))
    weight = ", ".join(f"{name} {share:.0%}" for name, share in result["importances"].items())
    return [
        plain_table(
            f"tuned at {percent(result['sparsity'])}: {result['steps_spent']} steps",
            ("generation", "steps", "lowest score"),
            rows,
        ),
        f"best: candidate {best['candidate']}, {best['importance']}, allocation "
        f"{allocation_word(best['allocation'])}, temperature {best['temperature']:.3g}",
        *([f"importance of the settings: {weight}"] if weight else []),
    ]


def _statistics(result: dict[str, Any]) -> str:
    """What happened to the running statistics of the batch norms, which are not weights."""
    before, after = (result.get(f"statistics_digest_{when}") for when in ("before", "after"))
    if not before:
        return "none in this model"
    if before == after:
        return "unchanged"
    return f"updated by the search ({result['norm_statistics']})"


def jackpot_table(result: dict[str, Any]) -> list[Table | str]:
    """The metrics of the mask that was found, with the weights untouched."""
    primary = result["primary"]
    untouched = result["weights_digest_before"] == result["weights_digest_after"]
    rows = (
        (f"dense {primary} (dev)", _number(result["dense"][primary])),
        ("under the starting mask", _number(result["start_metrics"][primary])),
        ("under the found mask", _number(result["dev"][primary])),
        ("overlap with the start", f"{result['overlap']:.1%}"),
        ("swaps", f"{sum(result['swaps_per_epoch']):,}"),
        ("weights", f"{result['weights_digest_after'][:10]}{', untouched' if untouched else ''}"),
        ("norm statistics", _statistics(result)),
        ("registered", address(result["model"])),
    )
    title = f"jackpot at {percent(result['sparsity'])} from {result['start']}"
    return [
        plain_table(title, ("", ""), rows, left=2),
    ]
