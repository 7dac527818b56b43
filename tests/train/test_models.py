"""Whether a model was fine-tuned for a task is read off its head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from toy import tiny_bert

from rpmask.errors import RpmaskError
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.tasks.registry import get_spec
from rpmask.train.model_place import locate
from rpmask.train.models import (
    has_head,
    load_classifier,
    load_tokenizer,
    positions,
    restored_classifier,
    skeleton,
    stored_weights,
)
from rpmask.train.precision import bf16_speed, faster_precision, remembered_precision


def saved(folder: Path, **config: object) -> str:
    tiny_bert(**config).save_pretrained(folder)
    return str(folder)


def test_the_demo_has_a_head_for_its_task_only() -> None:
    assert has_head("demo", get_spec("demo"))
    assert not has_head("demo", get_spec("sst2"))
    assert not has_head("demo", get_spec("rte"))  # the same labels, the other way round
    assert not has_head("demo", get_spec("mnli"))


def test_made_up_label_names_count_by_their_number(tmp_path: Path) -> None:
    source = saved(tmp_path)
    assert has_head(source, get_spec("sst2"))
    assert not has_head(source, get_spec("mnli"))
    assert not has_head(source, get_spec("stsb"))


def test_a_base_model_has_no_head_and_gets_a_seeded_one(tmp_path: Path) -> None:
    tiny_bert().base_model.save_pretrained(tmp_path)
    source = str(tmp_path)
    assert not has_head(source, get_spec("sst2"))
    first, again = (load_classifier(source, get_spec("mnli"), seed=4) for _ in range(2))
    assert first.classifier.weight.shape == (3, 16)
    assert first.classifier.weight.equal(again.classifier.weight)


@pytest.mark.parametrize("source", ["./absent", "a/b/c", "/nowhere/at/all", "x\0y"])
def test_a_place_that_is_none(source: str) -> None:
    with pytest.raises(RpmaskError):
        locate(source)


def test_precision_follows_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bf16_speed() > 0
    for speed, expected in ((2.0, "bf16"), (1.0, "fp32")):
        monkeypatch.setattr("rpmask.train.precision.bf16_speed", lambda speed=speed: speed)
        assert faster_precision() == expected


@pytest.mark.parametrize("before", [b"", b"[1]", b"{", b"3"])
def test_a_trial_is_made_once_on_a_machine(
    before: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precision.json").write_bytes(before)
    found = []
    for speed in (2.0, 1.0):
        monkeypatch.setattr("rpmask.train.precision.bf16_speed", lambda speed=speed: speed)
        found.append(remembered_precision(tmp_path))
    assert found == ["bf16", "bf16"]
    monkeypatch.setattr("platform.node", lambda: "another")
    assert remembered_precision(tmp_path) == "fp32"


SMALL = {"vocab_size": 20, "max_position_embeddings": 16}
BERT_LIKE = {
    **SMALL,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
ARCHITECTURES = {
    "bert": transformers.BertConfig(**BERT_LIKE),
    "roberta": transformers.RobertaConfig(**BERT_LIKE),
    "electra": transformers.ElectraConfig(**BERT_LIKE, embedding_size=16),
    "deberta-v2": transformers.DebertaV2Config(**BERT_LIKE, relative_attention=True),
    "albert": transformers.AlbertConfig(**BERT_LIKE, embedding_size=16, hidden_dropout_prob=0.1),
    "distilbert": transformers.DistilBertConfig(
        **SMALL, dim=16, n_layers=2, n_heads=2, hidden_dim=32
    ),
    "gpt2": transformers.GPT2Config(
        vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2, pad_token_id=0
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_without_dropout_a_model_trains_without_noise(name: str, tmp_path: Path) -> None:
    config = ARCHITECTURES[name]
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    rows = {"input_ids": torch.arange(1, 9)[None], "attention_mask": torch.ones(1, 8).long()}
    noisy, quiet = (
        load_classifier(str(tmp_path), get_spec("sst2"), dropout=rate).train()
        for rate in (0.5, 0.0)
    )
    assert not noisy(**rows).logits.equal(noisy(**rows).logits)
    assert quiet(**rows).logits.equal(quiet(**rows).logits)
    kept = {name: rate for name, rate in config.to_dict().items() if "drop" in name}
    assert kept == {name: getattr(quiet.config, name) for name in kept}


def stock_gpt2(folder: Path, **config: object) -> str:
    """A classifier that names no padding, as GPT-2 is published."""
    given = {"n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 20, **config}
    found = transformers.GPT2Config(bos_token_id=3, **given)
    transformers.GPT2ForSequenceClassification(found).save_pretrained(folder)
    return str(folder)


def no_padding_tokenizer(folder: Path) -> None:
    words = {word: i for i, word in enumerate(["a", "b", "c", "d", "e", "f", "<end>"])}
    words_alone = Tokenizer(WordLevel(words, unk_token="a"))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words_alone, eos_token="<end>", unk_token="a"
    ).save_pretrained(folder)


def test_a_decoder_without_padding_takes_batches(tmp_path: Path) -> None:
    source = stock_gpt2(tmp_path / "stock", eos_token_id=5)
    no_padding_tokenizer(tmp_path / "stock")
    model = load_classifier(source, get_spec("sst2")).eval()
    assert model.config.pad_token_id == load_tokenizer(source).pad_token_id == 6
    short, long = torch.tensor([[1, 2]]), torch.tensor([[3, 4, 2, 1]])
    both = torch.tensor([[1, 2, 6, 6], [3, 4, 2, 1]])
    with torch.no_grad():
        answers = model(input_ids=both, attention_mask=(both != 6).long()).logits
        alone = torch.cat([model(input_ids=row).logits for row in (short, long)])
    torch.testing.assert_close(answers, alone)
    model.save_pretrained(tmp_path / "kept")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "kept").pad_token_id == 6


@pytest.mark.parametrize(("end", "padding"), [(5, 5), ([4, 5], 4)])
def test_without_a_tokenizer_the_end_of_text_pads(
    tmp_path: Path, end: int | list[int], padding: int
) -> None:
    source = stock_gpt2(tmp_path, eos_token_id=end)
    model = load_classifier(source, get_spec("sst2"))
    assert model.config.pad_token_id == padding
    restored = restored_classifier(model.config, get_spec("sst2"), model.state_dict())
    assert restored(input_ids=torch.ones(2, 3).long()).logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.BertConfig(max_position_embeddings=16), 16),
        (transformers.GPT2Config(n_positions=32), 32),
        (transformers.RobertaConfig(max_position_embeddings=514, pad_token_id=1), 512),
        (transformers.XLMRobertaConfig(max_position_embeddings=514, pad_token_id=1), 512),
        (transformers.DebertaV2Config(), 512),
        (transformers.DebertaV2Config(position_biased_input=False), None),
        (transformers.XLNetConfig(), None),
    ],
)
def test_positions(config: transformers.PretrainedConfig, expected: int | None) -> None:
    assert positions(config) == expected


@pytest.mark.parametrize("kind", ["bert", "t5", "mbart"])
def test_a_folder_of_weights_alone_has_no_tokenizer(tmp_path: Path, kind: str) -> None:
    """The library makes one up that reads every word as unknown: a model would train on nothing."""
    transformers.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(RpmaskError, match="knows no word"):
        load_tokenizer(str(tmp_path))


SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION: dict[str, dict[str, object]] = {
    "ViT": {**SMALL, "intermediate_size": 16, "image_size": 8, "patch_size": 4},
    "Dinov2": {**SMALL, "image_size": 8, "patch_size": 4},
    "Swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 16},
    "Segformer": {
        "num_encoder_blocks": 2,
        "hidden_sizes": [8, 8],
        "depths": [1, 1],
        "num_attention_heads": [1, 2],
    },
    "ResNet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1]},
}


def saved_vision(family: str, folder: Path) -> torch.nn.Module:
    config = getattr(transformers, f"{family}Config")(num_labels=10, **VISION[family])
    model: torch.nn.Module = getattr(transformers, f"{family}ForImageClassification")(config)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", VISION)
def test_weights_are_found_whatever_names_a_family_was_published_with(
    family: str, tmp_path: Path
) -> None:
    model, task = saved_vision(family, tmp_path), get_spec("digits")
    tensors = find_prunable(skeleton(str(tmp_path), task))
    expected = weights_digest(TensorWeights(model), tensors)
    found = stored_weights(str(tmp_path), task, tensors)
    assert weights_digest(found, tensors) == expected
    assert isinstance(found, SafetensorsWeights) == (family == "ResNet")


def test_weights_that_a_file_lacks_are_not_made_up(tmp_path: Path) -> None:
    saved_vision("Swin", tmp_path)
    task, file = get_spec("digits"), tmp_path / "model.safetensors"
    tensors = find_prunable(skeleton(str(tmp_path), task))
    kept = {k: v for k, v in load_file(file).items() if "intermediate" not in k}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(RpmaskError, match=r"has no tensor 'encoder\.layers\..*mlp\.fc1"):
        stored_weights(str(tmp_path), task, tensors)


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    source = saved(tmp_path)
    path = tmp_path / "config.json"
    config = {
        **json.loads(path.read_text()),
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    }
    path.write_text(json.dumps(config))
    for load in (load_classifier, skeleton):
        with pytest.raises(RpmaskError, match="are quantized"):
            load(source, get_spec("sst2"))
