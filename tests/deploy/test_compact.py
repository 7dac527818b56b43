"""Compact models: smaller matrices, the same logits, standard where a configuration can say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from deploy.small import batch, without_units
from toy import VOCABULARY, tiny_bert
from transformers import AutoModelForSequenceClassification

from rpmask.deploy import compact
from rpmask.errors import RpmaskError
from rpmask.heads.classification import CLASSIFICATION

SMALL: dict[str, Any] = {"vocab_size": VOCABULARY, "num_labels": 2}
OTHERS = {
    "distilbert": transformers.DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, **SMALL
    ),
    "albert": transformers.AlbertConfig(
        embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=32, **SMALL
    ),
    "gpt2": transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, pad_token_id=0, **SMALL),
    "deberta-v2": transformers.DebertaV2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        relative_attention=True,
        position_buckets=4,
        pos_att_type=["c2p", "p2c"],
        **SMALL,
    ),
}


def made(name: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return AutoModelForSequenceClassification.from_config(OTHERS[name]).eval()


def check(model: Any, folder: Path) -> tuple[Any, compact.Cut, bool]:
    cut, standard = compact.write(model, folder)
    found = compact.read(folder, CLASSIFICATION, standard)
    with torch.no_grad():
        torch.testing.assert_close(
            found(**batch()).logits, model(**batch()).logits, rtol=0, atol=1e-5
        )
    return found, cut, standard


def test_neurons_make_a_standard_model(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    without_units(model, neurons=True, heads=False)
    found, cut, standard = check(model, tmp_path)
    assert standard
    assert (cut.neurons, cut.all_neurons, cut.heads) == (32, 64, 0)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert plain.config.intermediate_size == 16
    assert found.bert.encoder.layer[0].intermediate.dense.weight.shape == (16, 16)
    assert model.config.intermediate_size == 32  # the model itself is left as it was
    assert model.bert.encoder.layer[0].intermediate.dense.weight.shape == (32, 16)


def test_heads_need_our_loader(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    without_units(model, neurons=True, heads=True)
    found, cut, standard = check(model, tmp_path)
    assert not standard
    assert (cut.heads, cut.all_heads) == (2, 4)
    attention = found.bert.encoder.layer[0].attention
    assert attention.self.query.weight.shape == (8, 16)
    assert attention.output.dense.weight.shape == (16, 8)
    assert attention.self.num_attention_heads == 1


def test_layers_of_unequal_width_need_our_loader(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[:, :3] = 0
    found, cut, standard = check(model, tmp_path)
    assert not standard
    assert cut.neurons == 3
    widths = [layer.intermediate.dense.out_features for layer in found.bert.encoder.layer]
    assert widths == [32, 29]


def test_a_layer_without_any_neuron_keeps_one(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight.zero_()
        model.bert.encoder.layer[0].attention.output.dense.weight.zero_()
    _, cut, _ = check(model, tmp_path)
    assert (cut.neurons, cut.heads) == (31, 1)


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures(name: str, tmp_path: Path) -> None:
    model = made(name)
    without_units(model, neurons=True, heads=True)
    _, cut, _ = check(model, tmp_path)
    assert 2 * cut.neurons == cut.all_neurons
    assert 2 * cut.heads == cut.all_heads


def test_a_model_that_needs_all_of_itself(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="none can be removed"):
        compact.write(tiny_bert(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_tensors_of_another_model(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    without_units(model, neurons=True, heads=True)
    compact.write(model, tmp_path)
    tiny_bert(layers=3).config.save_pretrained(tmp_path)
    with pytest.raises(RpmaskError, match="do not match its config"):
        compact.read(tmp_path, CLASSIFICATION, standard=False)
