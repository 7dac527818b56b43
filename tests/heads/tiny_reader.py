"""A tiny model with random weights to answer questions, and made-up questions in SQuAD's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rpmask.train.models import load_tokenizer

PEOPLE, PLACES = ("chef", "doctor", "teacher", "pilot"), ("kitchen", "clinic", "school", "harbor")
OTHERS = ("old", "saw", "near", "today", "and", "helped", "quiet", "green", "book", "water", "with")


def write_reader(folder: Path) -> Path:
    """An encoder without a head, with the demo's tokenizer."""
    from transformers import BertConfig, BertModel

    tokenizer = load_tokenizer("demo")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def squad(count: int, seed: int = 0, *, none: bool = True) -> dict[str, Any]:
    """Articles of five questions, who or where, about 12 to 60 words; every fourth has no answer."""
    random = np.random.default_rng(seed)
    articles: list[dict[str, Any]] = []
    for number in range(count):
        if number % 5 == 0:
            articles.append({"title": f"Article {len(articles)}", "paragraphs": []})
        who, absent = random.random() < 0.5, none and number % 4 == 3
        words = [str(word) for word in random.choice(OTHERS, int(random.integers(12, 60)))]
        named = str(random.choice(PEOPLE if who else PLACES))
        phrase = f"the {named}"
        place = int(random.integers(len(words)))
        if not absent:
            words.insert(place, phrase)
        text = " ".join(words)
        start = len(" ".join(words[:place])) + (place > 0)
        answers = [] if absent else [{"text": phrase, "answer_start": start}]
        if answers and number % 2:
            answers.append({"text": named, "answer_start": start + 4})
        qa = {
            "id": f"q{seed}-{number}",
            "question": "who was it ?" if who else "where was it ?",
            "answers": answers,
            "is_impossible": absent,
        }
        articles[-1]["paragraphs"].append({"context": text, "qas": [qa]})
    return {"version": "v2.0" if none else "1.1", "data": articles}


def write_squad(folder: Path, train: int = 160, dev: int = 50) -> tuple[Path, Path]:
    """Train and dev as SQuAD's JSON."""
    for name, count, seed in (("train", train, 1), ("dev", dev, 0)):
        (folder / f"{name}.json").write_text(json.dumps(squad(count, seed)))
    return folder / "train.json", folder / "dev.json"
