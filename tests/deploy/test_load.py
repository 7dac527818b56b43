"""Plain model folders, as others wrote them, answer like exports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from deploy.small import exported, tokenizer

import rpmask
from rpmask.errors import RpmaskError
from rpmask.tasks.builtin import demo_model_dir

LONG = "the chef stirred the soup today " * 60


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


def test_a_text_longer_than_the_model_is_cut_to_it() -> None:
    found = rpmask.load(demo_model_dir())
    assert found.encode([LONG])["input_ids"].shape == (1, 64)
    assert found.predict([LONG])[0]["label"] == found.predict([LONG + " and more"])[0]["label"]


def test_weights_without_a_head_do_not_answer(tmp_path: Path) -> None:
    transformers.AutoModel.from_pretrained(demo_model_dir()).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(RpmaskError, match=r"its weights lack 'classifier\.bias' and 1 more"):
        rpmask.load(tmp_path)


@pytest.mark.parametrize(("asked", "read"), [(10, 10), (500, 64)])
def test_a_plain_model_reads_as_far_as_is_said(asked: int, read: int) -> None:
    found = rpmask.load(demo_model_dir(), max_length=asked)
    assert found.encode([LONG])["input_ids"].shape == (1, read)


@pytest.mark.parametrize("form", ["packed", "onnx"])
def test_an_export_that_says_more_than_its_model_takes(tmp_path: Path, form: str) -> None:
    _, manifest = exported(tmp_path, form)
    assert manifest.max_length == 128
    assert rpmask.load(tmp_path).encode([LONG])["input_ids"].shape == (1, 16)
