"""Blocks of text, their losses, and the decoders that predict them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_decoder import WORDS, decoder, llama_config, text, tokenizer, write_texts
from train.test_trainer import magnitude

from rpmask.deploy import packed
from rpmask.deploy.build import dense_bytes, empty_model, fill, stored_state
from rpmask.errors import RpmaskError
from rpmask.heads.blocks import Block
from rpmask.heads.continuation import continuations
from rpmask.heads.language import LANGUAGE
from rpmask.heads.metrics import compute, majority
from rpmask.heads.splits import Encoded
from rpmask.masks.banks import plan_banks
from rpmask.masks.mask import Mask
from rpmask.masks.weights import base_of, find_prunable
from rpmask.records import DataChoice
from rpmask.steps.inputs import load_data, prepare
from rpmask.tasks.passages import language_spec, read_language
from rpmask.tasks.registry import load_task
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier
from rpmask.train.observer import Silent
from rpmask.train.plan import Distillation, TrainPlan
from rpmask.train.trainer import train

SPEC = language_spec("story", "a made-up text")


def encode(folder: Path, length: int = 16, end: bool = True, dev: Any = "a dev text") -> Encoded:
    """The blocks of a dev file."""
    (folder / "dev.txt").write_text(dev)
    rows = read_language("story", [str(folder / "dev.txt")] * 2, "text").dev["dev"]
    return LANGUAGE.inputs.encode(rows, tokenizer(end), SPEC, length)


def test_blocks_are_the_text_token_for_token(tmp_path: Path) -> None:
    story = text(20)
    found = encode(tmp_path, dev=story)
    plain = tokenizer()(story)["input_ids"]
    assert len(found) == len(plain) // 16
    assert [int(t) for block in found.labels for t in block.tokens] == plain[: 16 * len(found)]
    words = story.split()
    first = found.labels[0]
    assert first.bytes == len(" ".join(words[:16])) - len(words[0])
    batch = found.batch(np.arange(3))
    assert set(batch) == {"input_ids", "labels"}
    assert batch["input_ids"].shape == (3, 16)


def test_bytes_are_counted_and_not_characters(tmp_path: Path) -> None:
    (block,) = encode(tmp_path, 3, dev="cat \u00e9t\u00e9 \U0001f600").labels
    assert block.bytes == len(" \u00e9t\u00e9 \U0001f600".encode())


def test_an_end_token_divides_what_does_not_follow(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "the cat"}\n{"text": "a dog ran"}\n')
    made = read_language("story", [str(rows)] * 2, "text").dev["dev"]
    (block,) = LANGUAGE.inputs.encode(made, tokenizer(), SPEC, 6).labels
    end = tokenizer().eos_token_id
    assert block.tokens.tolist() == tokenizer()("the cat <end> a dog ran")["input_ids"]
    assert block.tokens[2] == end
    assert block.bytes == len(" cat" + "a dog ran")
    with pytest.raises(RpmaskError, match="has no end token"):
        LANGUAGE.inputs.encode(made, tokenizer(end=False), SPEC, 6)


def test_a_text_shorter_than_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="3 tokens, fewer than one block of 16"):
        encode(tmp_path, dev="the cat sat")


def test_perplexity_and_bits_a_byte() -> None:
    blocks = np.empty(2, dtype=object)
    blocks[:] = [Block(np.array([1, 2, 2]), 10), Block(np.array([3, 2, 4]), 20)]
    found = LANGUAGE.answers.score(SPEC, np.array([1.0, 2.0]), blocks)
    assert found["perplexity"] == pytest.approx(math.exp(1.5))
    assert found["bits_per_byte"] == pytest.approx((2 * 1.0 + 2 * 2.0) / math.log(2) / 30)
    constant = majority(SPEC, blocks)["perplexity"]  # 2 with 3/4, 4 with 1/4
    assert math.log(constant) == pytest.approx((-3 * math.log(0.75) - math.log(0.25)) / 4)


def test_a_plain_loop_gives_the_same(tmp_path: Path) -> None:
    data, model = encode(tmp_path, dev=text(30)), decoder(llama_config()).eval()
    found = evaluate(model, data, SPEC)
    assert found.logits is None
    with torch.no_grad():
        each = [data.batch(np.array([i])) for i in range(len(data))]
        losses = [float(model(**batch).loss) for batch in each]
        logits = [model(batch["input_ids"]).logits[0, :-1].numpy() for batch in each]
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    assert found.metrics["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    kept = compute(SPEC, np.concatenate(logits), data.labels, np.repeat(np.arange(len(data)), 15))
    assert kept == pytest.approx(found.metrics, rel=1e-5)


SIZES = {"vocab_size": 2 + len(WORDS), "eos_token_id": 1, "bos_token_id": 1}


def qwen() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(
        **SIZES,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )


def neox() -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        **SIZES,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        tie_word_embeddings=False,
    )


def gpt2() -> Any:
    from transformers import GPT2Config

    return GPT2Config(**SIZES, n_embd=16, n_layer=2, n_head=4, n_positions=64)


SHAPES = {  # configuration, matrices in a block, whether heads can be units
    "llama": (llama_config, 7, False),
    "qwen2": (qwen, 7, False),
    "neox": (neox, 4, True),
    "gpt2": (gpt2, 4, True),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decoder_of_each_shape_is_pruned_and_trained(shape: str, tmp_path: Path) -> None:
    made, matrices, by_head = SHAPES[shape]
    model, teacher = decoder(made()), decoder(made())
    tensors = find_prunable(model)
    assert len(tensors) == 2 * matrices  # the embeddings and the last matrix stay dense
    assert {bank.name.rpartition(".")[2] for bank in plan_banks("neuron", tensors)} == {"neurons"}
    if by_head:
        (first, _) = plan_banks("head", tensors)
        assert {tiling.units for tiling in first.tilings} == {4}
    else:
        with pytest.raises(RpmaskError, match="4 query heads share 2 heads"):
            plan_banks("head", tensors)
    mask = magnitude(model, 0.5)
    data = encode(tmp_path, dev=text(20))
    plan = TrainPlan(
        max_steps=2,
        batch_size=4,
        refit=4,
        freeze_embeddings=True,
        distill=Distillation(),
        evaluations=1,
        augment=int(shape == "llama"),
        threads=1,
    )
    trained = train(model, mask, teacher, data, data, SPEC, plan, tmp_path / "training", Silent())
    assert trained.steps == 2
    assert trained.refitted == len(tensors)
    assert trained.nonzero <= sum(mask.kept(name) for name in mask.names)
    read_back(model, mask, tmp_path)


def read_back(model: Any, mask: Mask, folder: Path) -> None:
    """A packed file gives the same logits, and holds tied embeddings once."""
    packed.write(model, mask, folder / packed.FILE)
    model.config.save_pretrained(folder)
    state, _ = packed.read(folder / packed.FILE)
    assert set(state) == set(stored_state(model))
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert ("lm_head.weight" in state or "embed_out.weight" in state) is not tied
    assert dense_bytes(model) == 4 * sum(p.numel() for p in model.parameters())
    again = fill(empty_model(folder, LANGUAGE), state, folder)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model.eval()(ids).logits)


def test_a_missing_tensor_of_a_packed_file_is_found(tmp_path: Path) -> None:
    model = decoder(llama_config())
    model.config.save_pretrained(tmp_path)
    state = stored_state(model)
    del state["model.embed_tokens.weight"]
    with pytest.raises(RpmaskError, match="do not match its config"):
        fill(empty_model(tmp_path, LANGUAGE), state, tmp_path)


def test_a_continuation_stays_within_the_positions() -> None:
    model = decoder(llama_config(eos_token_id=None)).eval()
    asked = ["the cat " * 40, "a dog"]
    for new, added in ((4, 4), (100, 63)):
        found = list(continuations(model, tokenizer(), asked, new, longest=64))
        assert [len(each["continuation"].split()) for each in found] == [added] * 2
    with torch.no_grad():
        ids = torch.tensor(tokenizer()(asked[:1])["input_ids"])[:, -60:]
        first = tokenizer().decode(model(ids).logits[0, -1].argmax())
    (whole,) = continuations(model, tokenizer(), asked[:1], 4, longest=64)
    assert whole["continuation"].split()[0] == first
    with pytest.raises(RpmaskError, match="finds no token in ' '"):
        list(continuations(model, tokenizer(), [" "], 4, longest=64))


def test_an_encoder_cannot_be_given_the_head() -> None:
    with pytest.raises(RpmaskError, match="no head 'language' can be drawn"):
        load_classifier("demo", SPEC)


def test_a_decoders_base_is_found() -> None:
    names = {name: type(base_of(decoder(made()))).__name__ for name, (made, *_) in SHAPES.items()}
    assert names == {
        "llama": "LlamaModel",
        "qwen2": "Qwen2Model",
        "neox": "GPTNeoXModel",
        "gpt2": "GPT2Model",
    }


def test_the_selection_split_keeps_neighbours_together(tmp_path: Path) -> None:
    write_texts(tmp_path)
    data = load_task(
        "story",
        DataChoice(
            train=str(tmp_path / "train.txt"), dev=str(tmp_path / "dev.txt"), kind="language"
        ),
    )
    assert "".join(data.dev["dev"]["text"]) == (tmp_path / "dev.txt").read_text()
    numbers = np.asarray(data.selection["row"])
    alone = [n for n in numbers if not {n - 1, n + 1} & set(numbers.tolist())]
    assert len(numbers) > 10
    assert not alone


DECODER, WIKITEXT = (os.environ.get(f"RPMASK_{name}") for name in ("DECODER", "WIKITEXT_DIR"))


@pytest.mark.skipif(
    not DECODER or not WIKITEXT,
    reason="set RPMASK_DECODER to the folder of a causal language model and RPMASK_WIKITEXT_DIR to "
    "WikiText-2's train.txt and dev.txt",
)
def test_the_perplexity_of_wikitext_is_a_plain_loops() -> None:
    assert DECODER is not None
    from transformers import AutoTokenizer

    choice = DataChoice(data_dir=WIKITEXT, max_length=512)
    data = load_data("wikitext2", choice)
    blocks = prepare(data, choice, DECODER).dev()["dev"].take(np.arange(4))
    model = load_classifier(DECODER, data.spec).eval()
    whole = (Path(str(WIKITEXT)) / "dev.txt").read_text(encoding="utf-8")
    ids = torch.tensor(AutoTokenizer.from_pretrained(DECODER)(whole)["input_ids"])
    with torch.no_grad():
        parts = [ids[None, 512 * i : 512 * (i + 1)] for i in range(4)]
        plain = math.exp(np.mean([float(model(part, labels=part).loss) for part in parts]))
    assert evaluate(model, blocks, data.spec).metrics["perplexity"] == pytest.approx(
        plain, rel=1e-5
    )
