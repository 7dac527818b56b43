"""What is pruned in each family of models, and that names mean the same with and without a head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn
from toy import TenWeights, tiny_bert

from rpmask.errors import RpmaskError
from rpmask.masks.banks import head_banks, neuron_banks
from rpmask.masks.weights import (
    Prunable,
    TensorWeights,
    find_prunable,
    left_dense,
    weights_digest,
)

TEXT = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 20,
}
BERT_LAYER = [
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
]
DEBERTA_LAYER = [
    *("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
    *("attention.self.pos_key_proj", "attention.self.pos_query_proj"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
]
DISTIL_LAYER = [
    *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    *("ffn.lin1", "ffn.lin2"),
]
ALBERT_LAYER = [
    *("attention.query", "attention.key", "attention.value", "attention.dense"),
    *("ffn", "ffn_output"),
]
VIT_LAYER = [
    *("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
    *("mlp.fc1", "mlp.fc2"),
]

# Class, configuration, name of layer i, its prunable parts, layers.
FAMILIES: dict[str, tuple[str, dict[str, Any], str, list[str], int]] = {
    "Bert": ("BertForSequenceClassification", TEXT, "encoder.layer.{}", BERT_LAYER, 2),
    "Roberta": ("RobertaForSequenceClassification", TEXT, "encoder.layer.{}", BERT_LAYER, 2),
    "Electra": (
        "ElectraForSequenceClassification",
        {**TEXT, "embedding_size": 4},
        "encoder.layer.{}",
        BERT_LAYER,
        2,
    ),
    "DebertaV2": (
        "DebertaV2ForSequenceClassification",
        {
            **TEXT,
            "conv_kernel_size": 3,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
        },
        "encoder.layer.{}",
        DEBERTA_LAYER,
        2,
    ),
    # Two layers share one group of tensors: each is there once.
    "Albert": (
        "AlbertForSequenceClassification",
        {**TEXT, "embedding_size": 4},
        "encoder.albert_layer_groups.{}.albert_layers.0",
        ALBERT_LAYER,
        1,
    ),
    "DistilBert": (
        "DistilBertForSequenceClassification",
        {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "vocab_size": 20},
        "transformer.layer.{}",
        [
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "ffn.lin1",
            "ffn.lin2",
        ],
        2,
    ),
    "GPT2": (
        "GPT2ForSequenceClassification",
        {
            "n_embd": 8,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 8,
            "vocab_size": 20,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
        "h.{}",
        ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
        2,
    ),
    "ViT": (
        "ViTForImageClassification",
        {
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "image_size": 8,
            "patch_size": 4,
        },
        "layers.{}",
        [
            "attention.q_proj",
            "attention.k_proj",
            "attention.v_proj",
            "attention.o_proj",
            "mlp.fc1",
            "mlp.fc2",
        ],
        2,
    ),
}


def build(family: str, device: str = "meta") -> nn.Module:
    class_name, values, *_ = FAMILIES[family]
    config = getattr(transformers, f"{family}Config")(**values)
    with torch.device(device):
        model: nn.Module = getattr(transformers, class_name)(config)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_the_matrices_of_the_blocks_and_nothing_else(family: str) -> None:
    *_, layer, parts, layers = FAMILIES[family]
    found = find_prunable(build(family))
    expected = {f"{layer.format(i)}.{part}.weight" for i in range(layers) for part in parts}
    assert {tensor.name for tensor in found} == expected
    assert len(found) == len(expected)
    assert {tensor.kind for tensor in found} == {"conv1d" if family == "GPT2" else "linear"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_headless_model_has_the_same_names(family: str) -> None:
    model = build(family)
    assert find_prunable(model) == find_prunable(model.base_model)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_neurons_and_heads(family: str) -> None:
    found = find_prunable(build(family))
    neurons, heads = neuron_banks(found), head_banks(found)
    layers = FAMILIES[family][4]
    assert len(neurons) == len(heads) == layers
    # ALBERT's feed-forward is 16 wide like the others; GPT-2's is four times its width.
    assert {bank.units for bank in neurons} == {32 if family == "GPT2" else 16}
    assert {bank.units for bank in heads} == {2}
    covered = {tiling.tensor.name for bank in (*neurons, *heads) for tiling in bank.tilings}
    assert covered == {tensor.name for tensor in found}


def test_what_the_rule_does_not_know_is_counted() -> None:
    """XLNet's attention holds its matrices itself; what is known, and tables, are not counted."""
    config = transformers.XLNetConfig(vocab_size=20, d_model=8, n_layer=2, n_head=2, d_inner=16)
    with torch.device("meta"):
        model = transformers.XLNetForSequenceClassification(config)
    left = left_dense(model, find_prunable(model))
    assert left["layer.1.rel_attn.q"] == 64
    assert all(".rel_attn." in name for name in left)
    for family in FAMILIES:
        known = build(family)
        assert left_dense(known, find_prunable(known)) == {}


def test_resnet_prunes_the_convolutions_of_its_stages() -> None:
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1])
    with torch.device("meta"):
        found = find_prunable(transformers.ResNetForImageClassification(config))
    assert {tensor.kind for tensor in found} == {"conv2d"}
    names = [tensor.name for tensor in found]
    # Three convolutions a stage, and the second one's shortcut; not the stem, not the classifier.
    assert len(names) == 7
    assert all(name.startswith("encoder.stages.") for name in names)
    assert sum("shortcut" in name for name in names) == 1


def test_a_plain_module() -> None:
    assert find_prunable(TenWeights()) == (Prunable("blocks.0.weight", (2, 5), "linear"),)


def test_shared_parameters_are_found_once_and_embeddings_stay_dense() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(4, 3)
            self.blocks = nn.ModuleList(nn.Linear(3, 4, bias=False) for _ in range(3))
            self.blocks[1].weight = self.blocks[0].weight
            self.blocks[2].weight = self.words.weight

    assert [tensor.name for tensor in find_prunable(Tied())] == ["blocks.0.weight"]


def names_of(include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> set[str]:
    return {tensor.name for tensor in find_prunable(tiny_bert(), include, exclude)}


def test_patterns_replace_add_and_remove() -> None:
    rule = names_of()
    assert names_of(include=("*.query.weight",)) == {n for n in rule if n.endswith("query.weight")}
    assert names_of(include=("+pooler.*",)) == rule | {"pooler.dense.weight"}
    assert names_of(exclude=("encoder.layer.0.*",)) == {n for n in rule if ".layer.1." in n}
    assert names_of(("*.query.weight", "+pooler.*"), ("*.0.*",)) == {
        "encoder.layer.1.attention.self.query.weight",
        "pooler.dense.weight",
    }


@pytest.mark.parametrize("place", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["nothing.*", "classifier.weight"])
def test_a_pattern_that_matches_nothing_is_an_error(place: str, pattern: str) -> None:
    with pytest.raises(RpmaskError, match=r"'(nothing\.\*|classifier\.weight)'") as caught:
        names_of(**{place: (pattern,)})
    assert "encoder.layer.0.attention.self.query.weight" in caught.value.hint


def test_nothing_left_to_prune_is_an_error() -> None:
    with pytest.raises(RpmaskError, match="no tensor to prune"):
        names_of(exclude=("*",))
    with pytest.raises(RpmaskError, match="no tensor to prune"):
        find_prunable(nn.Sequential())


def test_weights_digest_depends_on_values_names_and_nothing_else() -> None:
    model = tiny_bert()
    tensors = find_prunable(model)
    digest = weights_digest(TensorWeights(model), tensors)
    assert weights_digest(TensorWeights(model.base_model), tensors[::-1]) == digest
    halves = {t.name: TensorWeights(model).load(t.name).half() for t in tensors}
    singles = {name: tensor.float() for name, tensor in halves.items()}
    half_digest = weights_digest(TensorWeights(halves), tensors)
    assert half_digest == weights_digest(TensorWeights(singles), tensors) != digest
    assert weights_digest(TensorWeights(model), tensors[1:]) != digest
    with torch.no_grad():
        model.get_parameter(f"bert.{tensors[3].name}")[0, 0] += 1e-3
    assert weights_digest(TensorWeights(model), tensors) != digest


def test_a_tensor_that_is_not_there() -> None:
    with pytest.raises(RpmaskError, match=r"no tensor 'a\.b'"):
        TensorWeights(tiny_bert()).load("a.b")
