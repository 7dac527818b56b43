"""A tiny tagger with random weights, and made-up sentences to tag."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from rpmask.train.models import load_tokenizer

TAGS = ("O", "B-PER", "I-PER", "I-LOC")
NAMES, PLACES = ("chef", "doctor", "teacher", "pilot"), ("kitchen", "clinic", "school", "harbor")
OTHERS = ("the", "old", "saw", "in", "near", "today", "and", "helped")


def write_tagger(folder: Path) -> Path:
    """An encoder without a head, with the demo's tokenizer."""
    from transformers import BertConfig, BertModel

    tokenizer = load_tokenizer("demo")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence(random: np.random.Generator) -> tuple[list[str], list[str]]:
    """Words of people and places, among others."""
    words: list[str] = []
    tags: list[str] = []
    for _ in range(int(random.integers(2, 5))):
        words += [str(random.choice(OTHERS)), str(random.choice(NAMES))]
        tags += ["O", "B-PER"]
        if random.random() < 0.5:
            words += [str(random.choice(OTHERS)), str(random.choice(PLACES))]
            tags += ["O", "I-LOC"]
    if random.random() < 0.3:
        words += ["doctor", "pilot"]
        tags += ["B-PER", "I-PER"]
    return words, tags


def write_rows(folder: Path, train: int = 160, dev: int = 40) -> tuple[Path, Path]:
    """Train as CoNLL's columns in documents of four sentences, dev as JSON lines."""
    random = np.random.default_rng(0)
    lines: list[str] = []
    for number in range(train):
        if number % 4 == 0:
            lines += ["-DOCSTART- -X- O O", ""]
        lines += [f"{word} X {tag}" for word, tag in zip(*sentence(random), strict=True)] + [""]
    (folder / "train.conll").write_text("\n".join(lines))
    rows = (sentence(random) for _ in range(dev))
    said = [json.dumps({"tokens": words, "tags": tags}) for words, tags in rows]
    (folder / "dev.jsonl").write_text("\n".join(said))
    return folder / "train.conll", folder / "dev.jsonl"
