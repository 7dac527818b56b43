"""A convolutional network is searched from its first convolution on; what has matrices is not."""

from __future__ import annotations

from toy import tiny_bert
from transformers import ViTConfig, ViTForImageClassification

from rpmask.lottery_jackpots.searchable import find_searchable
from rpmask.masks.weights import find_prunable
from rpmask.tasks.images import DIGITS
from rpmask.train.models import load_classifier

STEM = "embedder.embedder.convolution.weight"


def test_the_first_convolution_is_searched_and_the_last_layer_is_not() -> None:
    model = load_classifier("digits", DIGITS)
    found = [tensor.name for tensor in find_searchable(model)]
    assert found == [STEM, *(tensor.name for tensor in find_prunable(model))]
    convolutions = sum(p.numel() for p in model.parameters() if p.dim() == 4)
    assert sum(tensor.numel for tensor in find_searchable(model)) == convolutions


def test_patterns_come_first() -> None:
    model = load_classifier("digits", DIGITS)
    without = find_searchable(model, exclude=("embedder.*",))
    assert without == find_prunable(model)
    assert find_searchable(model, ("*stages.0*",)) == find_prunable(model, ("*stages.0*",))


def test_a_transformer_is_searched_by_the_rule_of_blocks() -> None:
    bert = tiny_bert()
    assert find_searchable(bert) == find_prunable(bert)
    vit = ViTForImageClassification(
        ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
            image_size=8, patch_size=4,
        )
    )  # fmt: skip
    assert find_searchable(vit) == find_prunable(vit)
    assert all(tensor.kind == "linear" for tensor in find_searchable(vit))
