"""The short table a verb ends with, from the same object that --json prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rpmask.words import percent, shown_interval

PIPE_WIDTH = 120
WIDE = 200  # a leaderboard has many columns


def plain_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], *, left: int = 1
) -> Table:
    """The first `left` columns are words, the others numbers; a name's brackets are no markup."""
    table = Table(title=escape(title), title_justify="left", show_edge=False, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.1%}"


def sample_table(result: dict[str, Any]) -> list[Table | str]:
    """One row a candidate."""
    rows = (
        (
            f"{i}{' control' if c['control'] else ''}",
            c["importance"],
            f"{c['allocation']:g}",
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
        plain_table(f"{result['k']} masks at {percent(result['sparsity'])}", columns, rows),
        f"next: rpmask screen --from {result['run_id']}",
    ]


def _last_if_unknown(score: float | None) -> float:
    return math.inf if score is None or math.isnan(score) else score


def screen_table(result: dict[str, Any]) -> list[Table | str]:
    """One row a candidate, best first."""
    order = sorted(
        range(len(result["candidates"])),
        key=lambda i: (
            -len(result["candidates"][i]["rungs"]),
            _last_if_unknown(result["candidates"][i]["score"]),
        ),
    )
    twins = [(f"twin {n} of 0", twin) for n, twin in enumerate(result.get("twins", ()), 1)]
    far = any("distance" in rung for c in result["candidates"] for rung in c["rungs"])
    measured = (*(("distance",) if far else ()), "loss", "metric")
    rows = (
        (
            i,
            c["status"],
            str(c["rungs"][-1]["step"]) if c["rungs"] else "-",
            *(_number(c["rungs"][-1].get(name)) if c["rungs"] else "-" for name in measured),
        )
        for i, c in [(str(i), result["candidates"][i]) for i in order] + twins
    )
    share = result["steps_spent"] / result["steps_full"]
    title = f"race: {result['steps_spent']} steps, {share:.0%} of training each in full"
    return [
        plain_table(title, ("candidate", "status", "step", *measured), rows),
        f"next: rpmask select --from {result['run_id']}",
    ]


def _noise(result: dict[str, Any]) -> str:
    """The spread of the control's twins; without them the verdict is about examples alone."""
    if result.get("noise") is None:
        return "not measured: no twins ran"
    return f"{result['noise']:.4f}, between the control and {result['twins']} twins"


def _compared(result: dict[str, Any]) -> str:
    """Which candidate's loss is below which; a run of before does not say which."""
    whom = f"candidate {result['best']}'s" if "best" in result else "the best candidate's"
    reference = "the control's" if result.get("noise") is None else "the control's and its twins'"
    return f"{whom} loss below {reference}"


def select_table(result: dict[str, Any]) -> list[Table | str]:
    """The verdict and what was registered."""
    model = result["model"]
    rows = (
        ("winner", f"candidate {result['winner']}"),
        ("verdict", result["verdict"]),
        (_compared(result), f"{result['effect']:.4f} {shown_interval(result)}"),
        ("of which may last", _number(result.get("shrunk"))),
        ("noise of training", _noise(result)),
        ("registered", f"models:/{model['name']}/{model['version']} @{model['alias']}"),
    )
    return [
        plain_table(f"selection at {percent(result['sparsity'])}", ("", ""), rows),
        f"next: rpmask finetune --from {result['run_id']}",
    ]


def finetune_table(result: dict[str, Any]) -> list[Table | str]:
    """Dense beside sparse."""
    primary, model = result["primary"], result["model"]
    alias = f" @{model['alias']}" if model["alias"] else ""
    rows = [
        (f"dense {primary} (dev)", _number(result["dense"][primary])),
        (f"sparse {primary} (dev)", _number(result["dev"][primary])),
        ("retention", _share(result["retention"])),
        (f"commonest label {primary}", _number(result["majority"][primary])),
        ("registered", f"models:/{model['name']}/{model['version']}{alias}"),
    ]
    if result["agreement"] is not None:
        by_majority = f"{result['agreement_majority']:.1%} by its commonest answer"
        alike = f"{result['agreement']:.1%} ({by_majority})"
        rows.insert(3, ("rows answered as the dense model does", alike))
    return [plain_table(f"trained at {percent(result['sparsity'])}", ("", ""), rows)]


def run_table(result: dict[str, Any]) -> list[Table | str]:
    """One row a level, and what the registry holds."""
    rows = []
    for level in result["levels"]:
        tuned, chosen, raced = level["finetune"], level["select"], level["screen"]
        primary = tuned["primary"]
        control = raced["candidates"][0]["rungs"][-1]["metric"]
        winner = raced["candidates"][chosen["winner"]]["rungs"][-1]["metric"]
        rows.append(
            (
                percent(level["sparsity"]),
                _number(tuned["dense"][primary]),
                _number(control),
                _number(winner),
                chosen["verdict"],
                _number(tuned["dev"][primary]),
                _share(tuned["retention"]),
            )
        )
    columns = ("sparsity", "dense", "control*", "winner*", "verdict", "trained", "retention")
    registry = [
        ("@selected", *_address(result["levels"][-1]["select"]["model"])),
        ("@champion", *(_address(result["champion"]) if result["champion"] else ("none yet", "-"))),
    ]
    title = f"{result['task']}: {result['levels'][-1]['finetune']['primary']}"
    return [
        plain_table(title, columns, rows),
        "* on the selection split after the race; dense and trained are on dev",
        plain_table("in the registry", ("alias", "model", "version"), registry),
    ]


def _address(model: dict[str, Any]) -> tuple[str, str]:
    return model["name"], str(model["version"])


def tune_table(result: dict[str, Any]) -> list[Table | str]:
    """One row a generation."""
    best = result["best"]
    rows = []
    for number, one in enumerate(result["generations"], start=1):
        race = one["screen"]
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
        f"{best['allocation']:g}, temperature {best['temperature']:.3g}",
        *([f"what mattered: {weight}"] if weight else []),
        f"next: rpmask select --from {best['screen_run_id']}",
    ]


def _statistics(result: dict[str, Any]) -> str:
    """What became of the batch norms' running statistics, which are no weights."""
    before, after = (result.get(f"statistics_digest_{when}") for when in ("before", "after"))
    if not before:
        return "none in this model"
    return (
        "as they were"
        if before == after
        else f"moved with the search ({result['norm_statistics']})"
    )


def jackpot_table(result: dict[str, Any]) -> list[Table | str]:
    """What the mask reached without a weight being touched."""
    primary, model = result["primary"], result["model"]
    untouched = result["weights_digest_before"] == result["weights_digest_after"]
    rows = (
        (f"dense {primary} (dev)", _number(result["dense"][primary])),
        ("under the starting mask", _number(result["start_metrics"][primary])),
        ("under the mask found", _number(result["dev"][primary])),
        ("overlap with the start", f"{result['overlap']:.1%}"),
        ("swaps", f"{sum(result['swaps_per_epoch']):,}"),
        ("weights", f"{result['weights_digest_after'][:10]}{', untouched' if untouched else ''}"),
        ("norm statistics", _statistics(result)),
        ("registered", f"models:/{model['name']}/{model['version']} @{model['alias']}"),
    )
    title = f"jackpot at {percent(result['sparsity'])} from {result['start']}"
    return [
        plain_table(title, ("", ""), rows),
        f"next: rpmask finetune --from {result['run_id']}",
    ]


TABLES: dict[str, Callable[[dict[str, Any]], list[Table | str]]] = {
    "sample": sample_table,
    "screen": screen_table,
    "select": select_table,
    "finetune": finetune_table,
    "jackpot": jackpot_table,
    "run": run_table,
    "tune": tune_table,
}


def _console(piped: int = PIPE_WIDTH) -> Console:
    """Stdout; a file or a pipe has no width, so its tables are as wide as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=piped)


def text_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], *, left: int
) -> str:
    """A wide table as text."""
    console = _console(WIDE)
    with console.capture() as capture:
        console.print(plain_table(title, columns, rows, left=left))
    return capture.get()


def show(verb: str, result: dict[str, Any]) -> None:
    """Print a verb's table and the id of its run on stdout."""
    console = _console()
    console.print()
    for part in TABLES[verb](result):
        console.print(part, markup=False)
    reused = " (finished before, nothing was computed)" if result["reused"] else ""
    said = f"run {result['run_id']} in experiment {result['experiment']}{reused}"
    console.print(said, markup=False)


def show_findings(findings: dict[str, Any]) -> None:
    """What `doctor` found, one line each."""
    console = _console()
    rows = ((f["name"], "ok" if f["ok"] else "no", f["found"]) for f in findings["checks"])
    console.print(plain_table("this machine", ("", "", "found"), rows, left=3))
    for line in findings["advice"]:
        console.print(f"- {line}", soft_wrap=True, markup=False)
