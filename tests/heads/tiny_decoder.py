"""Tiny decoders with random weights, and a made-up text to continue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

WORDS = ("the", "cat", "dog", "sat", "ran", "on", "a", "mat", "log", "and", "then", "slept", ".")


def tokenizer(end: bool = True) -> Any:
    """One token a word, with a token for the end of a document."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    known = {word: i for i, word in enumerate(("<unk>", "<end>", *WORDS))}
    made = Tokenizer(WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    special = {"eos_token": "<end>"} if end else {}
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", **special)


def llama_config(**changed: Any) -> Any:
    """Four heads over two key-value heads; the last matrix is tied to the embeddings."""
    from transformers import LlamaConfig

    sizes = {
        "vocab_size": 2 + len(WORDS),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 1,
    }
    return LlamaConfig(**{**sizes, **changed})


def decoder(config: Any) -> Any:
    """A causal language model of this configuration, always with the same weights."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return AutoModelForCausalLM.from_config(config)


def write_decoder(folder: Path, config: Any = None) -> Path:
    """A model folder with its tokenizer, and settings for sampled text that a continuation does not take."""
    model = decoder(llama_config() if config is None else config)
    model.generation_config.repetition_penalty = 5.0
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def text(lines: int, seed: int = 0) -> str:
    """Lines whose every word hints at the next."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(lines):
        subject, verb, place = (
            random.choice(each) for each in (("cat", "dog"), ("sat", "ran"), ("mat", "log"))
        )
        made.append(f"the {subject} {verb} on a {place} and then the {subject} slept .\n")
    return "".join(made)


def write_texts(folder: Path) -> tuple[Path, Path]:
    """A text to train on and one for dev."""
    for name, lines, seed in (("train.txt", 200, 0), ("dev.txt", 40, 1)):
        (folder / name).write_text(text(lines, seed))
    return folder / "train.txt", folder / "dev.txt"
