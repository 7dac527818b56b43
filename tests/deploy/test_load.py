"""Plain model folders, as others wrote them, answer like exports."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from deploy.small import tokenizer

import rpmask


def test_a_decoder_that_names_no_padding_answers_several_rows(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer()), n_positions=32, n_embd=16, n_layer=1, n_head=2
    )
    config.bos_token_id = config.eos_token_id = 1
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    found = rpmask.load(tmp_path)
    rows = ["the chef stirred the soup", "somebody"]
    alone = [found.predict([row])[0]["score"] for row in rows]
    together = [answer["score"] for answer in found.predict(rows)]
    torch.testing.assert_close(together, alone)
