"""Make the built-in demo: its rows, its fine-tuned tiny BERT, and the figures in its card.

    OMP_NUM_THREADS=1 python scripts/make_demo.py        # some minutes; writes rpmask/tasks/demo/

The task is in the manner of RTE: does the second sentence follow from the first? (demo_sentences.py)
The model learns from generated rows of which `train.jsonl` is a part; no premise of `dev.jsonl` is among
them. The card says what was measured: the dense model, a bag of words that must fail, and what masks of
different quality leave before and after training.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from demo_sentences import Row, rows, vocabulary
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from rpmask.files import write_whole
from rpmask.heads.classification import CLASSIFICATION
from rpmask.heads.splits import Encoded
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.records import MaskRecipe
from rpmask.streams import generator
from rpmask.tasks.builtin import DEMO
from rpmask.train.batches import calibration_rows, training_order
from rpmask.train.evaluate import evaluate
from rpmask.train.observer import Silent

OUT = Path(__file__).parents[1] / "rpmask" / "tasks" / "demo"
TRAIN, DEV = 5_000, 1_000
EASY, STREAM = 16_000, 48_000  # rows that the model learns from, the easiest wording first
BATCH, RATE = 64, 5e-4
SPARSITY, PROBE_RATE, PROBE_STEPS = 0.9375, 3e-4, (120, 480)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; every word of the language is known."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: i for i, word in enumerate([*special, *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_model(size: int) -> BertForSequenceClassification:
    """A BERT with random weights: 4 layers, 128 wide, 0.8 M prunable weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        id2label=dict(enumerate(DEMO.labels)),
        label2id={label: i for i, label in enumerate(DEMO.labels)},
    )
    return BertForSequenceClassification(config)


def fit(
    model: torch.nn.Module,
    data: Encoded,
    order: list[np.ndarray],
    *,
    rate: float,
    mask: Mask | None = None,
) -> None:
    """AdamW with a linear warm-up and decay; a mask is put back on after every step."""
    steps = len(order)
    hold = MaskHold(model, mask) if mask is not None else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    model.train()
    for step, chosen in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = (
                rate * min(1.0, (step + 1) / 50) * min(1.0, (steps - step) / (0.3 * steps))
            )
        loss = model(**data.batch(chosen)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if hold is not None:
            hold.apply()


def bag_of_words(train: list[Row], dev: list[Row]) -> float:
    """Dev accuracy of logistic regression on the 1-2-grams of both sentences."""
    parts = []
    for column in ("text", "text_pair"):
        counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
        fitted = counter.fit_transform([str(row[column]) for row in train])
        parts.append((fitted, counter.transform([str(row[column]) for row in dev])))
    seen, unseen = (hstack(side) for side in zip(*parts, strict=True))
    model = LogisticRegression(max_iter=2000)
    model.fit(seen, [row["label"] for row in train])
    return float(model.score(unseen, [row["label"] for row in dev]))


def probe(
    model: BertForSequenceClassification, train: Encoded, dev: Encoded
) -> list[dict[str, Any]]:
    """What masks of five kinds leave at 93.75 %: untrained, after a short and after a longer training."""
    dense = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = find_prunable(model)
    weights = TensorWeights(
        {t.name: model.base_model.get_parameter(t.name).detach().clone() for t in tensors}
    )
    names = [tensor.name for tensor in tensors]
    rows = train.take(calibration_rows(len(train), 256, 0))
    found = calibrate(model, rows, DEMO, names, ["fisher"], observer=Silent())
    fisher = {"importance": "fisher", "importance_digest": found["fisher"].digest}
    base = {
        "weights_digest": weights_digest(weights, tensors),
        "seed": 1,
        "sparsity": SPARSITY,
        "temperature": 0.0,
    }
    kinds: dict[str, dict[str, Any]] = {
        "magnitude, uniform": {},
        "magnitude, global": {"allocation": 1.0},
        "fisher, uniform": fisher,
        "fisher, global": {**fisher, "allocation": 1.0},
        "random": {"temperature": 1e6, "votes": 1},
    }
    recipes = [MaskRecipe(**{**base, **kind}) for kind in kinds.values()]
    masks = draw_masks(recipes, weights, tensors, statistics=found)
    seen = []
    for name, mask in zip(kinds, masks, strict=True):
        entry: dict[str, Any] = {"mask": name}
        for steps, seed in ((0, 1), *((steps, 1) for steps in PROBE_STEPS), (PROBE_STEPS[0], 2)):
            model.load_state_dict(dense)
            MaskHold(model, mask).apply()
            fit(model, train, training_order(train, 32, steps, seed), rate=PROBE_RATE, mask=mask)
            after = evaluate(model, dev, DEMO)
            key = f"{steps} steps" + (", other batches" if seed == 2 else "")
            entry[key] = {"accuracy": after.metrics["accuracy"], "loss": round(after.loss, 4)}
        seen.append(entry)
        print(json.dumps(entry), flush=True)
    model.load_state_dict(dense)
    return seen


def main() -> None:
    started = time.time()
    dev = rows(1, DEV)
    unseen = frozenset(str(row["text"]) for row in dev)
    mixed = rows(2, STREAM, unseen)
    stream = rows(3, EASY, unseen, forms=1) + mixed
    train = mixed[:TRAIN]
    tokenizer = make_tokenizer()
    as_tokens = {
        name: CLASSIFICATION.inputs.encode(Dataset.from_list(data), tokenizer, DEMO, 64)
        for name, data in (("stream", stream), ("train", train), ("dev", dev))
    }
    model = make_model(len(tokenizer))
    # In the order they were made: a premise meets its true and its false hypothesis in one batch, and
    # one wording is learned before the others. All at once, the loss can stay at chance for long.
    order = list(np.arange(len(stream)).reshape(-1, BATCH))
    fit(model, as_tokens["stream"], order, rate=RATE)
    dense = evaluate(model, as_tokens["dev"], DEMO)
    print(
        f"dense: {dense.metrics}, loss {dense.loss:.4f}, {time.time() - started:.0f} s", flush=True
    )
    bag = bag_of_words(train, dev)
    print(f"bag of words: {bag:.3f}", flush=True)
    masks = probe(model, as_tokens["train"], as_tokens["dev"])
    magnitude = masks[0]["0 steps"]["accuracy"]
    assert dense.metrics["accuracy"] >= 0.93 > magnitude + 0.1, "worth pruning"
    assert bag < 0.70, "a bag of words must not solve it"
    for name, data in (("train", train), ("dev", dev)):
        order = generator(0, "rows", name).permutation(len(data))
        lines = [json.dumps(data[i], sort_keys=True) for i in order]
        write_whole(OUT / f"{name}.jsonl", ("\n".join(lines) + "\n").encode())
    model.save_pretrained(OUT / "model")
    tokenizer.save_pretrained(OUT / "model")
    for path in OUT.rglob("*.*"):
        path.chmod(0o644)
    files = sorted(path for path in OUT.rglob("*") if path.is_file() and path.name != "card.json")
    card = {
        "command": "OMP_NUM_THREADS=1 python scripts/make_demo.py",
        "rows": {"train": TRAIN, "dev": DEV},
        "dense": {"accuracy": dense.metrics["accuracy"], "loss": dense.loss},
        "bag_of_words": bag,
        "masks_at_93.75_percent": masks,
        "seconds": round(time.time() - started),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "scikit-learn")},
        },
        "bytes": sum(path.stat().st_size for path in files),
        "sha256": {
            str(path.relative_to(OUT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
    }
    write_whole(OUT / "card.json", (json.dumps(card, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
