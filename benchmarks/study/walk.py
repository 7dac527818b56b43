"""Walk the rows of the study that have no result yet, in the order of the grid.

    RPMASK_GLUE_DIR=FOLDER python benchmarks/study/walk.py --model ENCODER
    RPMASK_GLUE_DIR=FOLDER python benchmarks/study/walk.py --model ENCODER --only main-ours-rte-93.75-0

Each row is one `rpmask run` in the store's folder, or that and a jackpot search and its training; the
MLflow database there keeps every step of it, and a row that was stopped continues. What the documentation
shows is written to benchmarks/study/results/ROW.json as soon as a row ends, and
`python benchmarks/study/page.py` makes docs/results.md of what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from grid import SEEDS, Row, rows
from safetensors.numpy import load_file

from rpmask.files import write_whole
from rpmask.heads.metrics import compute
from rpmask.randomized_masks.losses import read_losses
from rpmask.randomized_masks.verdict import paired_interval
from rpmask.steps.context import versions
from rpmask.tasks.registry import get_spec

RESULTS = Path(__file__).with_name("results")
RESAMPLES = 400


def walk(row: Row, model: str, store: Path, threads: int) -> dict[str, Any]:
    """One row, from its commands to what is kept of them."""
    begun = time.perf_counter()
    log = store / "logs" / f"{row.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)

    def answer(command: list[str]) -> dict[str, Any]:
        return carried_out(command, store, threads, log)

    result = answer(row.command(model))
    searches = 0
    if row.search:
        searched = answer(row.searching(result["levels"][-1]["select"]["run_id"]))
        result["levels"][-1]["finetune"] = answer(row.training_after(searched["run_id"]))
        run = opened(store).get_run(searched["run_id"])
        searches = int(run.data.metrics["steps"])
    found = kept(row, result, store)
    found["steps"]["search"] = searches
    found["steps"]["refit"] = refits(result, store)
    found["seconds"]["command"] = round(time.perf_counter() - begun, 1)
    return {**found, "threads": threads, "versions": versions()}


def refits(result: dict[str, Any], store: Path) -> int:
    """What refitting took, of candidates and of masks, in training steps: its seconds by those of a step."""
    taken = 0.0
    for level in result["levels"]:
        trainings = [(one["screen"]["run_id"], "steps_spent") for one in level["generations"]]
        trainings.append((level["finetune"]["run_id"], "steps"))
        for run_id, counted in trainings:
            measured = opened(store).get_run(run_id).data.metrics
            if "refit_seconds" in measured:
                taken += measured["refit_seconds"] * measured[counted] / measured["train_seconds"]
    return round(taken)


def carried_out(command: list[str], store: Path, threads: int, log: Path) -> dict[str, Any]:
    """What a command answers, in the store's folder."""
    with log.open("ab") as said:
        done = subprocess.run(
            [sys.executable, "-m", *command, "--threads", str(threads), "--json"],
            cwd=store,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            check=False,
        )
    if done.returncode:
        told = log.read_text()[-2000:]
        raise SystemExit(f"{shlex.join(command)} failed: {done.stdout.strip()}\n{told}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def kept(row: Row, result: dict[str, Any], store: Path) -> dict[str, Any]:
    """What the page needs of a result; every figure is of a run that the store holds."""
    levels = result["levels"]
    last = levels[-1]["finetune"]
    primary = last["primary"]
    dense, dev, chance = (last[key][primary] for key in ("dense", "dev", "majority"))
    pool = [recipe(one) for one in levels[-1]["generations"][-1]["sample"]["candidates"]]
    races = [one["screen"] for level in levels for one in level["generations"]]
    return {
        "row": row.name,
        "command": " && ".join(shlex.join(command) for command in typed(row)),
        "question": row.question,
        "arm": row.arm,
        "task": row.task,
        "sparsity": row.sparsity,
        "seed": row.seed,
        "primary": primary,
        "selection": selection_metric(primary, store, last["run_id"]),
        "dense": dense,
        "dev": dev,
        "majority": chance,
        "retention": dev / dense,
        "corrected_retention": (dev - chance) / (dense - chance),
        "agreement": last["agreement"],
        "agreement_majority": last["agreement_majority"],
        "verdicts": [level["select"]["verdict"] for level in levels],
        "kept": [chosen(level) for level in levels],
        "steps": {
            "races": sum(race["steps_spent"] for race in races),
            "training": sum(level["finetune"]["steps"] for level in levels),
        },
        "seconds": {
            "races": round(sum(total(race) for race in races), 1),
            "training": round(sum(total(level["finetune"]) for level in levels), 1),
        },
        "pool": pool,
        "rungs": [
            [
                [rung[name] for name in ("step", "loss", "distance") if name in rung]
                for rung in candidate["rungs"]
            ]
            for candidate in races[-1]["candidates"]
        ],
        "ahead_of_control": ahead(store, races[-1], [0] * len(pool)),
        "ahead_of_centre": ahead(store, races[-1], [centre(pool, i) for i in range(len(pool))]),
        "ahead_of_fisher": ahead(store, races[-1], [labelled(pool, i) for i in range(len(pool))]),
        "resampled": resampled(row.task, store, last["run_id"]),
        "runs": {
            "run": result["run_id"],
            "select": levels[-1]["select"]["run_id"],
            "finetune": last["run_id"],
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def typed(row: Row, model: str = "ENCODER") -> list[list[str]]:
    """The commands of a row, as one would type them."""
    later = [row.searching("SELECT"), row.training_after("JACKPOT")] if row.search else []
    return [row.command(model), *later]


def chosen(level: dict[str, Any]) -> dict[str, Any]:
    """The recipe of the mask that a level was trained under."""
    return recipe(level["sample"]["candidates"][level["select"]["winner"]])


def recipe(candidate: dict[str, Any]) -> dict[str, Any]:
    """What tells one mask of a pool from another."""
    names = ("importance", "allocation", "temperature", "sample_ratio", "control")
    return {name: candidate[name] for name in names}


def ahead(store: Path, race: dict[str, Any], of: list[int]) -> list[list[float] | None]:
    """How much lower each candidate's last loss is than that of another, with a 95 % interval over rows.

    None for those that were not trained as far as the other one.
    """
    path = opened(store).download_artifacts(race["run_id"], "losses.safetensors")
    losses = read_losses(Path(path))
    last = [one["rungs"][-1]["step"] if one["rungs"] else 0 for one in race["candidates"]]
    found: list[list[float] | None] = []
    for index, other in enumerate(of):
        if last[index] != last[other] or index == other:
            found.append(None)
            continue
        paired = paired_interval(losses[other], losses[index])
        found.append([round(value, 5) for value in (paired.effect, paired.low, paired.high)])
    return found


def centre(pool: list[dict[str, Any]], index: int) -> int:
    """The mask without noise that a candidate is drawn around; itself if the pool has none."""
    return unnoised(pool, pool[index]["importance"], index)


def labelled(pool: list[dict[str, Any]], index: int) -> int:
    """Of a true Fisher's mask that on the data's labels; any other itself."""
    true = pool[index]["importance"] == "true-fisher"
    return unnoised(pool, "fisher", index) if true else index


def unnoised(pool: list[dict[str, Any]], importance: str, index: int) -> int:
    """The mask of an importance without noise, with a candidate's allocation; itself if there is none."""
    place = (importance, pool[index]["allocation"])
    found = (
        i
        for i, one in enumerate(pool)
        if one["temperature"] == 0 and (one["importance"], one["allocation"]) == place
    )
    return next(found, index)


def total(result: dict[str, Any]) -> float:
    """All the seconds of a step."""
    return float(result["seconds"]["total"])


def opened(store: Path) -> Any:
    """The store that the commands wrote to."""
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{store}/mlflow.db")


def selection_metric(primary: str, store: Path, run_id: str) -> float:
    """The metric on the selection split after the last step; options may be chosen by it, by dev never."""
    return float(opened(store).get_run(run_id).data.metrics[f"selection/{primary}"])


def resampled(task: str, store: Path, run_id: str) -> list[float]:
    """The dev metric on resampled rows, the same ones for every row of the task.

    Two rows are compared by the differences of these, so that what they have in common cancels.
    """
    client = opened(store)
    answers = load_file(client.download_artifacts(run_id, "dev.safetensors"))
    spec = get_spec(task)
    split = min(answers).partition("/")[0]  # keys are SPLIT/logits and SPLIT/labels
    logits, labels = answers[f"{split}/logits"], answers[f"{split}/labels"]
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(labels), (RESAMPLES, len(labels)))
    return [round(compute(spec, logits[d], labels[d])[spec.primary], 5) for d in draws]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", required=True, help="The pretrained encoder: a folder or a hub id."
    )
    parser.add_argument("--store", type=Path, default=Path("study-store"))
    parser.add_argument("--only", nargs="+", default=["*"], help="Names of rows, with wildcards.")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="Rows at a time.")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--precision",
        default=Row.precision,
        help="fp32 where bf16 is slow (rpmask doctor); the row says so.",
    )
    parser.add_argument("--list", action="store_true", help="Show what would be walked.")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    planned = [replace(row, precision=arguments.precision) for row in rows(arguments.seeds)]
    named = {  # in the order of the patterns
        row.name: row for pattern in arguments.only for row in planned if fnmatch(row.name, pattern)
    }
    wanted = [row for name, row in named.items() if not (RESULTS / f"{name}.json").exists()]
    model = arguments.model
    if Path(model).is_dir():
        model = str(Path(model).resolve())
    if arguments.list:
        for row in wanted:
            print(" && ".join(shlex.join(command) for command in typed(row, model)))
        return
    if "RPMASK_GLUE_DIR" in os.environ:  # the commands run in the store's folder
        os.environ["RPMASK_GLUE_DIR"] = str(Path(os.environ["RPMASK_GLUE_DIR"]).resolve())
    store = arguments.store.resolve()
    store.mkdir(parents=True, exist_ok=True)

    def one(row: Row) -> None:
        found = walk(row, model, store, arguments.threads)
        text = json.dumps(found, indent=None, separators=(", ", ": "))
        write_whole(RESULTS / f"{row.name}.json", (text + "\n").encode())
        print(
            f"{row.name}: {found['dev']:.4f} of {found['dense']:.4f}, retention "
            f"{found['retention']:.1%}, {found['steps']}, {found['seconds']['command']:.0f} s",
            flush=True,
        )

    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            for future in [pool.submit(one, row) for row in wanted]:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


if __name__ == "__main__":
    main()
