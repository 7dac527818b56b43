"""Write docs/measured.md, and the tables of other pages, from the committed benchmarks.

    python scripts/make_measured_docs.py

The tables of other pages stand between `<!-- GROUP NAME -->` and `<!-- end -->`. A group is a page, or a task
of docs/jackpot.md. A test checks that the pages show what the files say.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import decoder_tables
import head_tables
import jackpot_tables
import measured_tables as tables
import runtime_tables

from rpmask.train.attention import SHORT

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "measured.md"
FILLED = {
    name: ROOT / "docs" / f"{name}.md" for name in ("decoders", "deploy", "jackpot", "scaling")
}
MARKED = re.compile(
    r"<!-- (decoders|deploy|scaling|digits|demo) ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL
)
Report = dict[str, Any]

TEXT = """# Measured

All figures come from `benchmarks/*.json`, measured on two CPU cores without an accelerator. Compared runs
were interleaved. ENCODER is the 6-layer encoder of [Results on real tasks](results.md), fine-tuned where a
task is named. Brackets hold 95 % intervals. [Concepts](concepts.md) explains the terms.

## Screening

`python benchmarks/screening.py`: pools of eight masks of the demo, one shot to 93.75 %. Races whose
verdicts are counted are as `screen` runs them: refitted, distilled, with three twins of the control. The
others learn from labels, without refitting or twins.

{screening}

How far the losses of five copies of the control spread, by the share of its kept weights that is
exchanged, and of five draws around it. Copies that differ in a thousandth spread too little to show the
noise of training; a twin exchanges 5 %.

{twins}

`python benchmarks/verdicts.py`: the best candidate and the control of refitted, distilled races of the
demo, trained for three epochs with other batches and compared on dev: the best is ahead, even or behind.
These races had no twins yet, so their intervals cover rows only.

{verdicts}

## Training

`python benchmarks/training.py --model ENCODER`: a step of {batch} rows of {tokens} tokens with {pruned}
prunable weights, one thread, with 95 % intervals over {rounds} rounds. A teacher is not cached where its
outputs exceed 2 GB.

{training}

What such a step holds in memory, beyond a plain one:

{memory}

`python benchmarks/precision.py --model ENCODER`: a masked training on SST-2 with distillation ({rows:,}
rows, {steps} steps, {seeds_tried} seeds).

{precision}

`python benchmarks/attention.py`: a training step with PyTorch's fused attention and with plain matrix
products, one thread. On this kind of machine, rpmask trains in bf16 with plain products where no row is
longer than {short} tokens.

{attention}

## Cutting

`python benchmarks/cutting.py --dense ENCODER`: what a Fisher mask under one threshold keeps of the dense
model's Matthews correlation on CoLA ({dense:.3f}), by how it is cut: in one step, in
[sub-steps](concepts.md#importance-the-centre), or in cuts during the training
([tightening](concepts.md#levels)). There is one seed, so differences of a few points are noise; the
distance from the dense model's answers and the agreement with them say more. Seconds are of one thread.

{cutting}

`python benchmarks/cutting.py --dense ENCODER --rows rates`: ten cuts in the first 70 % of three epochs to
97 %, by learning rate and rows per step. Each sees the same examples; seconds are of one thread, in bf16.
Sixteen rows per step help CoLA and hurt SST-2; twice the rate helps SST-2.

{rates}

`python benchmarks/cutting.py --dense ENCODER --rows rising`: the same, from another dense model. The rate
rises for a tenth of the steps, as in the tables above, or until the last cut, as in `finetune --tighten`.

{rising}

`python benchmarks/refitting.py --dense ENCODER`: a refit on 256 rows takes as long as {low:.0f} training
steps at 97 % sparsity and {high:.0f} at 54 %. The table has the two solvers; `chosen` is the one that rpmask
uses for such a matrix.

{refitting}

## Words and texts

`python benchmarks/tagging.py --model ENCODER --data-dir conll2003`: CoNLL-2003, scored as conlleval does, on
dev. `rpmask run {tagging_options}` prunes the dense model; the mean has a 95 % interval over seeds.

{tagging}

`python benchmarks/decoder_walk.py --model FOLDER --data-dir wikitext-2`: SmolLM2-135M on blocks of 128 tokens
of WikiText-2: four masks are drawn and raced, and the selected one is trained with distillation, exported and
served.

{walk}

## Workers

`python benchmarks/engines.py`: `rpmask screen` from start to end, on pools of the demo: of eight
candidates for local workers, of twenty-two for Ray. On two cores, two workers leave nothing for Ray's own
processes.

{engines}

`python benchmarks/waiting.py`: a training of the demo on two threads. While OpenMP's threads wait for each
other, `rpmask` lets them sleep soon (`GOMP_SPINCOUNT=1000`, where `OMP_WAIT_POLICY` is not set); libgomp's
default is to keep spinning.

{waiting}

## Tracking

`python benchmarks/tracking.py`: the share of a screening's time that goes to MLflow, charts included,
and `rpmask report` over {roads} pipelines.

{tracking}

## Starting

`python benchmarks/starting.py`: CPU time of verbs on the demo, compared with `python -c "import mlflow"`.
Every verb that reads or writes runs needs this import.

{starting}

## Tests

`python benchmarks/suites.py`: `make test` on two cores, of the commit before the code was rearranged and of a
later one, on one machine.

{suites}
"""


def read(name: str) -> Report:
    """A committed benchmark."""
    found: Report = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def page() -> str:
    """The whole page."""
    steps, precision, refits = read("training"), read("precision"), read("refitting")
    refit_steps = {row["sparsity"]: row["steps"] for row in refits["refits"]}
    screening = read("screening")
    return TEXT.format(
        screening=tables.screening(screening),
        twins=tables.twins(screening),
        verdicts=tables.verdicts(read("verdicts")),
        pruned=f"{steps['bytes']['one bool a prunable weight']:,}",
        batch=steps["batch"],
        tokens=steps["tokens"],
        rounds=steps["command"].rpartition(" ")[2],
        training=tables.training(steps),
        memory=tables.memory(steps),
        precision=tables.precision(precision),
        rows=int(re.findall(r"--train-rows (\d+)", precision["command"])[0]),
        steps=precision["runs"][-1]["steps"],
        seeds_tried=re.findall(r"--seeds (\d+)", precision["command"])[0],
        short=SHORT,
        attention=tables.attention(read("attention")),
        engines=tables.engines(read("engines")),
        waiting=tables.waiting(read("waiting")),
        roads=read("tracking")["report"]["roads"],
        tracking=tables.tracking(read("tracking")),
        starting=tables.starting(read("starting")),
        suites=tables.suites(read("suites")),
        cutting=tables.cutting(read("cutting")),
        rates=tables.rates(read("rates")),
        rising=tables.rates(read("rising")),
        tagging=head_tables.tagging(read("tagging")),
        tagging_options=read("tagging")["options"] + f" --sparsity {read('tagging')['sparsity']}",
        walk=head_tables.walk(read("decoder_walk")),
        dense=read("cutting")["dense"]["cola"],
        refitting=tables.refitting(refits),
        low=refit_steps[0.97],
        high=refit_steps[0.54],
    )


def filled(text: str) -> str:
    """A page with its tables."""
    measured, scaled = read("deploy"), read("scaling")
    tables = {
        "pruned": decoder_tables.pruned(read("decoders")),
        "pools": decoder_tables.pools(read("decoder_pools")),
        "streamed": decoder_tables.streamed(read("streaming")),
        "packed": runtime_tables.packed(measured),
        "runtimes": runtime_tables.runtimes(
            measured["runtimes"], "runtime, 93.75 % of single weights"
        ),
        "decoding": runtime_tables.decoding(measured["decoding"]),
        "compact": runtime_tables.runtimes(
            measured["compact"], "half of the neurons and heads cut out"
        ),
        "simulated": runtime_tables.simulated(scaled),
        "rungs": runtime_tables.by_rungs(scaled),
        "check": runtime_tables.checked(scaled),
    }

    def shown(group: str, name: str) -> str:
        if group in jackpot_tables.TASKS:
            return jackpot_tables.TABLES[name](read(f"jackpot-{group}"))
        return tables[name]

    return MARKED.sub(
        lambda found: f"<!-- {found[1]} {found[2]} -->\n{shown(*found.groups())}\n<!-- end -->",
        text,
    )


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    for place in FILLED.values():
        place.write_text(filled(place.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
