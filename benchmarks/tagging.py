"""A tagger of words: its dense model beside a plain training, and what is kept of it at 93.75 %.

    python benchmarks/tagging.py --model ENCODER --data-dir conll2003    # writes benchmarks/tagging.json

conll2003 holds train.txt and dev.txt of CoNLL-2003. The dense model is trained by `rpmask finetune --dense`,
and once more by a plain loop over transformers' Trainer: the same rows, tokens, rates and schedule, but none
of rpmask's readers, heads or trainers. Both are scored on dev with conlleval's entities. Then `rpmask run`
prunes the dense model once with each seed. What has been run is found in --store and not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)
from verbs import answer

import rpmask
from rpmask.files import write_whole
from rpmask.heads.entities import entity_scores
from rpmask.steps.frame import address

SPARSITY = 0.9375
SEEDS = (0, 1, 2)
EPOCHS, RATE = 3, 1e-4  # of the dense model
# One level, raced; its training then tightens the mask to the final sparsity.
OPTIONS = (
    *("--levels", "0.83", "--budget", "0.1"),
    *("--race-rate", "4e-4", "--learning-rate", "4e-4", "--epochs", "4"),
)
Sentence = tuple[list[str], list[str]]


def sentences(path: Path) -> list[Sentence]:
    """Words and tags of every sentence, without the lines that divide documents."""
    found: list[Sentence] = []
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line.split() for line in part.splitlines() if line.strip()]
        lines = [line for line in lines if line[0] != "-DOCSTART-"]
        if lines:
            found.append(([line[0] for line in lines], [line[-1] for line in lines]))
    return found


def plain(model: Path, data: Path, folder: Path) -> float:
    """The entity F1 on dev after a training with transformers alone, on the rows held out by rpmask too."""
    train, dev = (sentences(data / f"{split}.txt") for split in ("train", "dev"))
    names = sorted({tag for _, tags in [*train, *dev] for tag in tags})
    reader = AutoTokenizer.from_pretrained(model)

    def encoded(row: Sentence) -> dict[str, Any]:
        found = reader(row[0], is_split_into_words=True, truncation=True, max_length=128)
        words, before = found.word_ids(), [None, *found.word_ids()]
        marked = zip(words, before, strict=False)
        found["labels"] = [
            names.index(row[1][now]) if now is not None and now != last else -100
            for now, last in marked
        ]
        return dict(found)

    torch.manual_seed(0)
    trained = AutoModelForTokenClassification.from_pretrained(model, num_labels=len(names))
    arguments = TrainingArguments(
        output_dir=str(folder), seed=0, save_strategy="no", report_to="none", use_cpu=True,
        num_train_epochs=EPOCHS, learning_rate=RATE, per_device_train_batch_size=32, warmup_steps=0.1,
        weight_decay=0.01, train_sampling_strategy="group_by_length", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        trained,
        arguments,
        train_dataset=[encoded(row) for row in train],
        data_collator=DataCollatorForTokenClassification(reader),
    )
    trainer.train()
    trainer.save_model(str(folder / "plain"))
    return f1(trained, dev, encoded, names, trainer.data_collator)


@torch.no_grad()
def f1(
    model: Any,
    rows: list[Sentence],
    encoded: Callable[[Sentence], dict[str, Any]],
    names: list[str],
    collate: Any,
) -> float:
    """The entity F1 of a model. The Trainer's own predictions would come in the order of their lengths."""
    predictions = []
    model.eval()
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        batch = collate([encoded(row) for row in part])
        marks = batch.pop("labels") != -100
        for (_, tags), logits, marked in zip(part, model(**batch).logits, marks, strict=True):
            best = [names[index] for index in logits[marked].argmax(-1).tolist()]
            predictions.append([*best, *["O"] * (len(tags) - len(best))])
    return entity_scores(predictions, [tags for _, tags in rows])["entity_f1"]


def interval(values: list[float]) -> list[float]:
    """The 95 % interval of the mean over seeds."""
    mean, count = float(np.mean(values)), len(values)
    half = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return [round(mean - half, 4), round(mean + half, 4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--dense", help="the dense model, if the store has it already")
    parser.add_argument("--store", type=Path, default=Path("tagging-store"))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument(
        "--only", choices=("plain", "runs"), help="one of the two, to share out the work"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    asked.store.mkdir(parents=True, exist_ok=True)
    store, data = asked.store, ["--task", "conll2003", "--data-dir", str(asked.data_dir.resolve())]
    source = ["--model", str(asked.model.resolve())]

    def known() -> dict[str, Any]:
        return json.loads(asked.out.read_text()) if asked.out.exists() else {"runs": []}

    def write(changes: dict[str, Any]) -> None:
        document = {
            "command": "python benchmarks/tagging.py --model ENCODER --data-dir conll2003",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": {"rpmask": rpmask.__version__, "torch": torch.__version__},
            "options": shlex.join(OPTIONS),
            "sparsity": SPARSITY,
            **known(),
            **changes,
        }
        if len(kept := [run["kept"] for run in document["runs"]]) > 1:
            document["kept"] = {"mean": round(float(np.mean(kept)), 4), "interval": interval(kept)}
        write_whole(asked.out, (json.dumps(document, indent=1) + "\n").encode())

    if asked.only != "runs" and "plain" not in known():
        write({"plain": round(plain(asked.model, asked.data_dir, store), 4)})
    if asked.only == "plain":
        return
    settings = ["--epochs", str(EPOCHS), "--learning-rate", str(RATE)]
    model = asked.dense or address(
        answer(["rpmask", "finetune", "--dense", *data, *source, *settings], store)["model"]
    )
    for seed in asked.seeds:
        if seed in [run["seed"] for run in known()["runs"]]:
            continue
        command = [
            *("rpmask", "run", *data, "--model", model, *OPTIONS),
            *("--sparsity", str(SPARSITY), "--seed", str(seed)),
        ]
        planned = answer([*command, "--plan"], store)
        begun = time.perf_counter()
        found = answer(command, store)
        took = round(time.perf_counter() - begun, 1)
        levels = found["levels"]
        last = levels[-1]["finetune"]
        run = {
            "seed": seed,
            "f1": round(last["dev"]["entity_f1"], 4),
            "kept": round(last["dev"]["entity_f1"] / last["dense"]["entity_f1"], 4),
            "agreement": round(last["agreement"], 4),
            "seconds": {"planned": planned["seconds"], "took": took},
            "verdict": levels[-1]["select"]["verdict"],
            "steps": {
                "planned": planned["steps"],
                "race": sum(one["screen"]["steps_spent"] for one in levels[-1]["generations"]),
                "training": last["steps"],
            },
        }
        dense = {name: round(value, 4) for name, value in last["dense"].items()}
        write({"dense": dense, "runs": [*known()["runs"], run]})


if __name__ == "__main__":
    main()
