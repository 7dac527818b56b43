"""Write docs/measured.md and the tables of deploy.md and scaling.md from the committed benchmarks.

    python scripts/make_measured_docs.py

The tables stand between `<!-- PAGE NAME -->` and `<!-- end -->`. A test checks that the pages show what
the files say.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from rpmask.deploy.runtimes import CSR
from rpmask.train.attention import SHORT

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "measured.md"
FILLED = {name: ROOT / "docs" / f"{name}.md" for name in ("deploy", "scaling")}
MARKED = re.compile(r"<!-- (deploy|scaling) (\w+) -->\n.*?<!-- end -->", re.DOTALL)
Report = dict[str, Any]
STORES = {"sqlite": "SQLite", "server": "a server with SQLite behind it"}

TEXT = """# Measured

All figures come from `benchmarks/*.json`, measured on two CPU cores without an accelerator. Each section
names its command. Compared runs were interleaved and are reported as a ratio or a difference. Unless stated
otherwise, races learn from labels, without refitting. For jackpots, deployment and real tasks see
[Jackpots](jackpot.md), [Deployment](deploy.md) and [Results on real tasks](results.md).

## Screening

`python benchmarks/screening.py`: the demo, one shot to 93.75 %, one thread. The verdicts on pools with
and without a better mask are from races as `screen` runs them, with three twins of the control.

{screening}

`python benchmarks/verdicts.py`: do verdicts of refitted, distilled races, the default from 90 % sparsity on,
hold with another seed? The best candidate and the control of each pool of the demo are trained for three
epochs with other batches, and their dev losses compared row by row as `select` compares. The demo trains its
embeddings; it is one task with one dense model and one dev split. These races had no twins yet, so their
intervals cover rows only; twins exist to expose a lead that disappears with other batches.

{verdicts}

## Training

`python benchmarks/training.py --model ENCODER`: a step of a 6-layer encoder with {pruned} prunable weights,
{batch} rows of {tokens} tokens, one thread, with 95 % intervals over {rounds} rounds.

{training}

The mask adds one bool a prunable weight ({bool_mb:.1f} MB) and nothing to a step's peak. Of frozen embeddings
({embeddings_mb:.1f} MB here) there is no gradient, and AdamW keeps no moments, twice their size. Distillation
holds the teacher ({teacher_mb:.1f} MB) and, while a step lasts, {default_mb:.0f} MB of hidden states, or
{paper_mb:.0f} MB with the attention maps. The default terms use teacher outputs cached before the first
step; `teacher asked` is a step in which they exceed 2 GB and are computed.

`python benchmarks/precision.py --model ENCODER`: a short masked training on SST-2 ({rows:,} rows,
{steps} steps with distillation, {seeds_tried} seeds) is {speed:.2f} times as fast in bf16 as in fp32
[{speed_low:.2f}, {speed_high:.2f}] (`doctor` tries a layer and said {probe:.2f}). Dev accuracy, {level:.2f}
after so few steps, differs by {accuracy:+.4f} [{accuracy_low:+.4f}, {accuracy_high:+.4f}]; another seed's
deviation is {seeds:.4f}.

`python benchmarks/attention.py`: a training step with PyTorch's fused attention and with plain products, one
thread, by precision and by the length of rows. In bf16 a training on this kind of machine uses plain products
where no row is longer than {short} tokens.

{attention}

## Cutting

`python benchmarks/cutting.py --dense ENCODER`: how a mask of a 22.7 M-parameter encoder for CoLA comes about,
and what it keeps of the dense model's Matthews correlation ({dense:.3f}). It is one task with one seed, so a
few points between rows are noise; distance and agreement, between the dev answers and the dense model's,
say more. The importance is the Fisher information under one threshold; trainings are at 4e-4. Seconds are
the processor's, on one thread.

{cutting}

`python benchmarks/refitting.py --dense ENCODER`: a refit of that encoder on 256 rows takes as long as
{low:.0f} training steps at 97 % sparsity and {high:.0f} at 54 %. Where a matrix keeps many weights, conjugate
gradients solve it:

{refitting}

## Workers

`python benchmarks/engines.py`: `rpmask screen` as a command, from its start to its end: one local worker and
two on a pool of eight of the demo, two local workers and two of Ray on a pool of twenty-two.

{engines}

On two cores the two workers leave nothing for Ray's own processes, and each of them imports by itself what
local workers are forked with.

`python benchmarks/waiting.py`: a short training of the demo as a command on two threads, alone and beside one
process that keeps a core busy: with OpenMP's threads asleep soon after they begin to wait for each other, as
a command sets it (`GOMP_SPINCOUNT=1000`, where `OMP_WAIT_POLICY` is not set), and spinning as long as libgomp
lets them. Machines with many cores were not tried.

{waiting}

## Tracking

`python benchmarks/tracking.py`: the share of a screening's time that goes to MLflow, charts included, and
`rpmask report` over {roads} roads.

{tracking}

## Starting

`python benchmarks/starting.py`: short verbs of the demo, compared with `python -c "import mlflow"`, which
every one of them has to do.

{starting}
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(name: str) -> Report:
    """A committed benchmark."""
    found: Report = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    return found


VERDICTS = ("better", "no-evidence", "worse")


def screening(report: Report) -> str:
    """Four sentences, each with its counts."""
    found = report["summary"]
    pools, tune = found["pools"], found["tune"]
    regret, share = pools["regret"], pools["share_of_steps"]
    seconds = pools["share_of_seconds"]
    nothing = {name: found["alike"].get(name, 0) + found["equal"].get(name, 0) for name in VERDICTS}
    by_rows = sum(found[f"{name}_by_rows"].get("better", 0) for name in ("alike", "equal"))
    planted, spread = found["planted"], found["spread"]
    shares = ", ".join(
        f"{sd:.4f} ({100 * float(share):g} %)" for share, sd in spread.items() if share != "draws"
    )
    gain = tune["gain_in_loss"]
    return "\n".join(
        [
            f"- The race beside a full epoch for everybody, {pools['count']} seeded pools of eight over "
            "mixed importances, allocations and temperatures: it found the best mask in "
            f"{pools['best_found']}, with {share[0]:.1%} [{share[1]:.1%}, {share[2]:.1%}] of the steps "
            f"and {seconds[0]:.1%} of the seconds; the winner's full-epoch loss is {regret[0]:.3f} pool "
            "standard deviations above the best one's on average.",
            "- Nothing to find (twins of the control, or draws that differ by their seed, T = 0.1): "
            f"{said(nothing)} in {sum(nothing.values())} pools, each trained on other batches. An interval "
            f"about rows alone says `better` {by_rows} times.",
            "- One better mask planted among draws at 97 %, which keeps 5 % in place of 3 %: "
            f"{said(planted)} in {sum(planted.values())} pools.",
            "- What makes a twin: the standard deviation of the losses of five copies of the control with a "
            f"share of their weights exchanged at the cut is {shares}, and {spread['draws']:.4f} of five "
            "draws at T = 0.1. Copies that differ in a thousandth share the control's luck.",
            f"- `rpmask tune` over importances and allocations beside magnitude alone, the same steps, "
            f"{tune['count']} seeds: the best mask's full-epoch loss is lower by {gain[0]:.3f} "
            f"[{gain[1]:.3f}, {gain[2]:.3f}].",
        ]
    )


def said(verdicts: dict[str, int]) -> str:
    """`no-evidence` 18 times, `worse` 2 times."""
    ordered = sorted(((v, n) for v, n in verdicts.items() if n), key=lambda item: -item[1])
    return ", ".join(f"`{verdict}` {count} times" for verdict, count in ordered)


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
            name,
            f"{1000 * report['median_seconds'][name]:,.0f} ms",
            f"{ratio['ratio']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]",
        ]
        for name, ratio in report["ratio_to_plain"].items()
    ]
    return table(["step", "median", "to plain"], rows)


def cutting(report: Report) -> str:
    """A row for each way to a sparsity."""
    rows = []
    for row in sorted(report["rows"], key=lambda row: (row["sparsity"], row["epochs"])):
        way = "one look" if row["substeps"] == 1 else f"{row['substeps']} sub-steps"
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
    return table(["precision", "rows x tokens", "fused", "plain", "fused to plain"], rows)


def engines(report: Report) -> str:
    """Ratios of wall times."""
    rows = [
        [what, f"{report[key]['median']:.2f}", ", ".join(f"{x:.2f}" for x in report[key]["each"])]
        for what, key in (
            ("two local workers, to one", "two_workers_over_one"),
            ("two Ray workers, to two local ones", "ray_over_local"),
        )
    ]
    return table(["wall time of", "median", "turn by turn"], rows)


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
    return table(["median of", "asleep soon", "spinning", "ratio"], rows)


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
            f"report, {name}",
            f"{board[name]['answer']:.1f} s, all done after {board[name]['whole']:.1f} s",
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
        "calibrates and refits at every cut. Seconds of the imports of one `sample`, by Python's own count: "
        f"{packages}."
    )


def page() -> str:
    """The whole page."""
    steps, precision, race = read("training"), read("precision"), read("engines")
    peaks = steps["bytes"]["above_plain"]
    accuracy = precision["bf16_minus_fp32"]["accuracy"]
    refits = {row["sparsity"]: row["steps"] for row in read("refitting")["refits"]}
    return TEXT.format(
        screening=screening(read("screening")),
        verdicts=verdicts(read("verdicts")),
        pruned=f"{steps['bytes']['one bool a prunable weight']:,}",
        batch=steps["batch"],
        tokens=steps["tokens"],
        rounds=steps["command"].rpartition(" ")[2],
        training=training(steps),
        bool_mb=steps["bytes"]["one bool a prunable weight"] / 1e6,
        embeddings_mb=steps["bytes"]["embeddings"] / 1e6,
        teacher_mb=steps["bytes"]["teacher"] / 1e6,
        default_mb=peaks["masked, default distillation"] / 1e6,
        paper_mb=peaks["masked, paper's distillation"] / 1e6,
        speed=precision["speed"]["mean"],
        speed_low=precision["speed"]["low"],
        speed_high=precision["speed"]["high"],
        rows=int(re.findall(r"--train-rows (\d+)", precision["command"])[0]),
        steps=precision["runs"][-1]["steps"],
        seeds_tried=re.findall(r"--seeds (\d+)", precision["command"])[0],
        level=precision["fp32_over_seeds"]["accuracy"]["mean"],
        probe=precision["bf16_speed_of_the_trial"],
        accuracy=accuracy["mean"],
        accuracy_low=accuracy["low"],
        accuracy_high=accuracy["high"],
        seeds=precision["fp32_over_seeds"]["accuracy"]["deviation"],
        short=SHORT,
        attention=attention(read("attention")),
        engines=engines(race),
        waiting=waiting(read("waiting")),
        roads=read("tracking")["report"]["roads"],
        tracking=tracking(read("tracking")),
        starting=starting(read("starting")),
        cutting=cutting(read("cutting")),
        dense=read("cutting")["dense"]["cola"],
        refitting=refitting(read("refitting")),
        low=refits[0.97],
        high=refits[0.54],
    )


def packed(report: Report) -> str:
    """Sizes and loading, a row a type of values."""
    rows = [
        [
            one["values"],
            f"{one['bytes'] / 1e6:.1f} MB",
            f"{one['bytes'] / one['dense_bytes']:.1%}",
            f"{one['largest_matrix_ratio']:.1%} of fp32",
            f"{one['load_seconds_median']:.2f} s ({one['load_seconds_longest']:.2f} s)",
            f"{one['max_abs_diff']:.1e}",
        ]
        for one in report["packed"]
    ]
    head = ["packed values", "whole model", "of dense", "largest masked matrix"]
    return table([*head, "load, median (longest)", "logits differ by"], rows)


def runtimes(report: Report, what: str) -> str:
    """Speed-ups over dense fp32, a column a shape."""
    shapes = list(dict.fromkeys((row["batch"], row["tokens"]) for row in report["rows"]))
    names = dict.fromkeys(row["runtime"] for row in report["rows"])
    cells = {(row["runtime"], row["batch"], row["tokens"]): row for row in report["rows"]}
    rows = [
        [
            name,
            *(_speedups(cells[name, *shape]) for shape in shapes),
            f"{max(cells[name, *shape]['max_abs_diff'] for shape in shapes):.1e}",
            f"{cells[name, *shapes[0]]['memory_mb']:.0f} MB",
        ]
        for name in names
    ]
    head = [
        what,
        *(f"{batch} x {tokens}" for batch, tokens in shapes),
        "logits differ by",
        "memory",
    ]
    measured = any(row["memory_mb"] for row in report["rows"])
    return table(head, rows) if measured else table(head[:-1], [row[:-1] for row in rows])


def _speedups(row: Report) -> str:
    """Over dense fp32; of CSR also over the fastest runtime that gains nothing by pruning."""
    said = f"{row['speedup']:.2f}x"
    return f"{said} ({row['speedup_best']:.2f}x the best dense)" if row["runtime"] == CSR else said


def decoding(report: Report) -> str:
    """The next token of a decoder, a row a runtime."""
    rows = [
        [
            row["runtime"],
            f"{row['ms_median']:.1f} ms",
            f"{row['speedup']:.2f}x",
            f"{row['least_ms'] / row['ms_median']:.0%}",
            f"{row['max_abs_diff']:.1e}",
        ]
        for row in report["rows"]
    ]
    head = ["the next token, 93.75 % of single weights", "time", "speed-up", "of the limit"]
    return table([*head, "logits differ by"], rows)


def simulated(report: Report) -> str:
    """The cost model, a row a model and number of workers."""
    rows = [
        [
            one["model"],
            str(one["workers"]),
            f"{one['hours']:.1f}",
            f"{one['share_training']:.0%}",
            f"{one['share_preparing']:.0%}",
            f"{one['share_waiting']:.0%}",
            f"{one['coordinator_busy']:.0%}",
            f"{one['gigabytes_out']:,.0f}",
            f"{one['gigabytes_in']:,.0f}",
        ]
        for one in report["simulated"]
    ]
    head = [
        "model",
        "workers",
        "hours",
        "training",
        "proving, packing",
        "waiting",
        "coordinator busy",
    ]
    return table([*head, "GB out", "GB in"], rows)


def checked(report: Report) -> str:
    """The cost model beside races that were timed."""
    rows = [
        [
            one["engine"].replace("-", " "),
            f"{one['race_seconds_simulated']:.1f} s",
            f"{one['race_seconds_measured']:.1f} s",
            f"{one['ratio']:.2f}",
        ]
        for one in report["checked_against_engines_json"]
    ]
    return table(["race", "simulated", "measured", "ratio"], rows)


def filled(text: str) -> str:
    """A page with its tables."""
    measured, scaled = read("deploy"), read("scaling")
    tables = {
        "packed": packed(measured),
        "runtimes": runtimes(measured["runtimes"], "runtime, 93.75 % of single weights"),
        "decoding": decoding(measured["decoding"]),
        "compact": runtimes(measured["compact"], "half of the neurons and heads cut out"),
        "simulated": simulated(scaled),
        "check": checked(scaled),
    }
    return MARKED.sub(
        lambda found: f"<!-- {found[1]} {found[2]} -->\n{tables[found[2]]}\n<!-- end -->", text
    )


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    for place in FILLED.values():
        place.write_text(filled(place.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
