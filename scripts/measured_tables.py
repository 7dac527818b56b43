"""The tables of docs/measured.md, each from one committed benchmark."""

from __future__ import annotations

import statistics
from typing import Any

from markdown_table import table

Report = dict[str, Any]
STORES = {"sqlite": "SQLite", "server": "a server with SQLite behind it"}
REPORTS = {
    "page drawn": "first time: the page is drawn",
    "page there": "again: the page is reused",
    "--no-log": "`--no-log`",
}
VERDICTS = ("better", "no-evidence", "worse")


def screening(report: Report) -> str:
    """What races find, and what they say where there is nothing to find."""
    found = report["summary"]
    pools, tune, planted = found["pools"], found["tune"], found["planted"]
    regret, share = pools["regret"], pools["share_of_steps"]
    nothing = {name: found["alike"].get(name, 0) + found["equal"].get(name, 0) for name in VERDICTS}
    by_rows = sum(found[f"{name}_by_rows"].get("better", 0) for name in ("alike", "equal"))
    gain = tune["gain_in_loss"]
    rows = [
        [
            "Does the race find the mask that is best after a full epoch for all?",
            f"{pools['count']} mixed pools",
            f"in {pools['best_found']}; the winner's loss is {regret[0]:.3f} standard deviations of the pool "
            "above the lowest",
        ],
        [
            "What share of a full epoch for all does it cost?",
            f"{pools['count']} mixed pools",
            f"{share[0]:.1%} [{share[1]:.1%}, {share[2]:.1%}] of the steps, "
            f"{pools['share_of_seconds'][0]:.1%} of the seconds",
        ],
        [
            "Which verdicts where no mask is better (twins, or draws at T = 0.1)?",
            f"{sum(nothing.values())} pools",
            f"{said(nothing)}; an interval over rows alone says `better` {times(by_rows)}",
        ],
        [
            "And with one better mask planted, 5 % kept among draws that keep 3 %?",
            f"{sum(planted.values())} pools",
            said(planted),
        ],
        [
            "By how much does `rpmask tune` over centres lower the loss, compared with magnitude alone?",
            f"{tune['count']} seeds, the same steps",
            f"{gain[0]:.3f} [{gain[1]:.3f}, {gain[2]:.3f}]",
        ],
    ]
    return table(["question", "tried", "answer"], rows)


def twins(report: Report) -> str:
    """How far copies of the control spread, by the share of kept weights that is exchanged."""
    spread = report["summary"]["spread"]
    names = ["draws, T = 0.1" if key == "draws" else f"{100 * float(key):g} %" for key in spread]
    return table(
        ["exchanged", *names],
        [["standard deviation of loss", *(f"{sd:.4f}" for sd in spread.values())]],
    )


def said(verdicts: dict[str, int]) -> str:
    """`no-evidence` 18 times, `worse` 2 times."""
    ordered = sorted(((v, n) for v, n in verdicts.items() if n), key=lambda item: -item[1])
    return ", ".join(f"`{verdict}` {times(count)}" for verdict, count in ordered)


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else f"{count} times"


def verdicts(report: Report) -> str:
    """A row for each verdict of each kind of pool."""
    kinds = {
        "usual": "`sample --k 8`, 97 %",
        "alike": "the control and seven draws around it, T = 0.1, 97 %",
        "easy": "`sample --k 8`, 93.75 %",
    }
    rows = [
        [
            kinds[kind],
            f"`{verdict}`",
            *(str(found[name]) for name in ("said", "ahead", "even", "behind")),
            f"{100 * found['median_gain']:+.1f}",
        ]
        for kind, by_verdict in report["summary"].items()
        for verdict, found in by_verdict.items()
    ]
    head = [
        "pool",
        "verdict",
        "pools",
        "best ahead",
        "even",
        "behind",
        "median gain on dev, points",
    ]
    sure = [found["better"] for found in report["summary"].values() if "better" in found]
    said, ahead, behind = (sum(one[name] for one in sure) for name in ("said", "ahead", "behind"))
    return (
        table(head, rows)
        + f"\n\nOf {said} masks that were called `better` {ahead} are ahead after the training and {behind} "
        "behind; the others cannot be told from the control."
    )


def training(report: Report) -> str:
    """Each kind of step beside the plain one."""
    rows = [
        [
            name.replace("teacher asked", "teacher not cached"),
            f"{1000 * report['median_seconds'][name]:,.0f} ms",
            f"{ratio['ratio']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]",
        ]
        for name, ratio in report["ratio_to_plain"].items()
    ]
    return table(["step", "median", "ratio to plain"], rows)


def cutting(report: Report) -> str:
    """A row for each way to a sparsity."""
    rows = []
    for row in sorted(report["rows"], key=lambda row: (row["sparsity"], row["epochs"])):
        way = "in one step" if row["substeps"] == 1 else f"{row['substeps']} sub-steps"
        if row["tightened"]:
            way = f"{row['cuts']} cuts in the first {100 * row['tightened']:.0f} % of the training"
            way += f", refitted on {row['refit']} rows" if row["refit"] else ""
        else:
            way += f", {row['calibration']:,} rows"
        rows.append(
            [
                f"{100 * row['sparsity']:g} %, {way}",
                f"{row['epochs']:g}",
                f"{100 * row['kept']:.0f} %",
                f"{row['distance']:.3f}",
                f"{100 * row['agreement']:.1f} %",
                f"{row['mask_seconds']:.0f} + {row['training_seconds']:.0f} s",
            ]
        )
    head = ["mask", "epochs", "kept", "distance", "agreement", "drawing + training"]
    return table(head, rows)


def rates(report: Report) -> str:
    """A row for each task, rate, rise of the rate, and batch."""
    rows = [
        [
            row["task"],
            f"{row['rate']:g}",
            f"{100 * row['rise']:.0f} %",
            str(row["batch"]),
            f"{row['selection_distance']:.3f}",
            f"{row['distance']:.3f}",
            f"{100 * row['agreement']:.1f} %",
            f"{100 * row['kept']:.0f} %",
            f"{row['training_seconds']:.0f} s",
        ]
        for row in report["rows"]
    ]
    head = ["task", "rate", "rises for", "rows per step", "distance on selection", "on dev"]
    return table([*head, "agreement", "kept", "training"], rows)


def refitting(report: Report) -> str:
    """Both solvers, by shape and share of kept weights."""
    rows = [
        [
            f"{row['shape'][0]} x {row['shape'][1]}, {100 * row['density']:.0f} % kept",
            *(f"{row['seconds'][way]:.2f} s" for way in ("factorized", "conjugate gradients")),
            row["chosen"],
        ]
        for row in report["matrices"]
    ]
    return table(["matrix", "factorized", "conjugate gradients", "chosen"], rows)


def attention(report: Report) -> str:
    """How much faster a step is without the fused kernels."""
    rows = [
        [
            step["precision"],
            f"{step['rows']} x {step['tokens']}",
            *(f"{step['ms'][way]:,.0f} ms" for way in ("fused", "plain")),
            f"{step['fused_to_plain']:.2f}",
        ]
        for step in report["steps"]
    ]
    return table(["precision", "rows x tokens", "fused", "plain", "fused / plain"], rows)


def engines(report: Report) -> str:
    """Ratios of wall times."""
    rows = [
        [what, f"{report[key]['median']:.2f}", ", ".join(f"{x:.2f}" for x in report[key]["each"])]
        for what, key in (
            ("two local workers / one", "two_workers_over_one"),
            ("two Ray workers / two local ones", "ray_over_local"),
        )
    ]
    return table(["ratio of wall times", "median", "each pair of runs"], rows)


def waiting(report: Report) -> str:
    """Seconds of a training, by who else is there."""
    rows = [
        [
            place,
            *(f"{seconds:.1f} s" for seconds in found["medians"]),
            f"{found['default_to_ours']:.2f}",
        ]
        for place in ("alone", "beside a busy process")
        for found in [report[place]]
    ]
    return table(["median time", "asleep soon", "spinning", "ratio"], rows)


def tracking(report: Report) -> str:
    """Shares and seconds."""
    shares = [
        [
            f"share of a race of {statistics.median(found['seconds']):.0f} s, {STORES[store]}",
            f"{found['share']:.1%}",
        ]
        for store, races in report["screening"].items()
        for found in races.values()
    ]
    board = report["report"]
    answers = [
        [
            f"report, {REPORTS[name]}",
            f"{board[name]['answer']:.1f} s to the table, {board[name]['whole']:.1f} s to the end",
        ]
        for name in board
        if name != "roads"
    ]
    return table(["what", "measured"], [*shares, *answers])


def starting(report: Report) -> str:
    """How long short verbs take, and what a `sample` imports."""
    ratios = report["times_import_mlflow"]
    rows = [
        [
            name if name.startswith("import") else f"rpmask {name}",
            f"{seconds['median']:.1f} s",
            f"{ratios[name]['ratio']:.1f}" if name in ratios else "1",
        ]
        for name, seconds in report["seconds"].items()
    ]
    spent = list(report["import_seconds"]["sample --k 8"].items())[:6]
    packages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent)
    return (
        table(["command", "median CPU time", "times `import mlflow`"], rows)
        + "\n\n`sample` computes gradients, so it imports torch and transformers; without `--substeps 1` it "
        "calibrates and refits at every sub-step. Seconds that one `sample` spends importing packages: "
        f"{packages}."
    )


def memory(report: Report) -> str:
    """What a masked step holds beside a plain one."""
    peaks, found = report["bytes"]["above_plain"], report["bytes"]
    held = {
        "mask: one byte per prunable weight; the peak of a step does not rise": found[
            "one bool a prunable weight"
        ],
        "saved by frozen embeddings: their gradient; twice as much again for moments": found[
            "embeddings"
        ],
        "teacher": found["teacher"],
        "hidden states, during a step": peaks["masked, default distillation"],
        "the same with attention maps": peaks["masked, paper's distillation"],
    }
    return table(["what", "size"], [[what, f"{size / 1e6:.1f} MB"] for what, size in held.items()])


def precision(report: Report) -> str:
    """bf16 beside fp32 in a short masked training."""
    speed, accuracy = report["speed"], report["bf16_minus_fp32"]["accuracy"]
    over_seeds = report["fp32_over_seeds"]["accuracy"]
    rows = [
        [
            "speed of bf16 / fp32",
            f"{speed['mean']:.2f} [{speed['low']:.2f}, {speed['high']:.2f}]",
        ],
        ["the same by `doctor`, from one layer", f"{report['bf16_speed_of_the_trial']:.2f}"],
        [
            f"dev accuracy ({over_seeds['mean']:.2f} after so few steps), minus fp32",
            f"{accuracy['mean']:+.4f} [{accuracy['low']:+.4f}, {accuracy['high']:+.4f}]",
        ],
        ["standard deviation between seeds", f"{over_seeds['deviation']:.4f}"],
    ]
    return table(["what", "measured"], rows)


def suites(report: Report) -> str:
    """The times of two suites, and of the tests that both have."""
    wall, tests, shared = report["wall"], report["tests"], report["shared"]
    head = ["", *(f"`{commit}`" for commit in report["commits"]), "ratio"]
    rows = [
        ["tests that ran", f"{tests['before']:,}", f"{tests['now']:,}", ""],
        ["the suite", *_seconds(wall)],
        [f"the {tests['shared']:,} tests of both", *_seconds(shared)],
        ["all others", f"{report['gone']:,.0f} s", f"{report['new']:,.0f} s", ""],
    ]
    text = "The suite is in seconds of the clock, its parts in seconds of all processes."
    return f"{table(head, rows)}\n\n{text}"


def _seconds(times: Report) -> list[str]:
    return [f"{times['before']:,.0f} s", f"{times['now']:,.0f} s", f"{times['ratio']:.2f}"]
