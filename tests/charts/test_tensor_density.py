"""Tensor names become rows and columns by one rule, and every tensor is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chart_records import BERT, candidate, pool_of, words
from hypothesis import given
from hypothesis import strategies as st

from rpmask import charts
from rpmask.charts.tensor_density import lay_out
from rpmask.records import TensorCount


def test_bert_is_laid_out_by_layer_number_and_matrix() -> None:
    grid = lay_out(BERT)
    assert grid.rows == tuple(str(layer) for layer in range(12))
    assert grid.layer == "bert.encoder.layer"
    assert grid.columns == (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    )
    assert grid.cells["bert.encoder.layer.10.attention.self.key.weight"] == (10, 1)


@pytest.mark.parametrize(
    ("names", "rows", "columns"),
    [
        (
            [
                f"transformer.h.{i}.{m}.weight"
                for i in range(2)
                for m in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
            ],
            ("0", "1"),
            ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
        ),
        (
            [
                f"distilbert.transformer.layer.{i}.{m}.weight"
                for i in range(3)
                for m in ("attention.q_lin", "attention.k_lin", "ffn.lin1", "ffn.lin2")
            ],
            ("0", "1", "2"),
            ("attention.q_lin", "attention.k_lin", "ffn.lin1", "ffn.lin2"),
        ),
        (
            [
                f"{name}.weight"
                for name in (
                    "conv1",
                    "layer1.0.conv1",
                    "layer1.0.conv2",
                    "layer2.0.conv1",
                    "layer2.0.downsample.0",
                    "fc",
                )
            ],
            ("(top)", "layer1.0", "layer2.0"),
            ("conv1", "conv2", "downsample.0", "fc"),
        ),
        (
            [
                f"resnet.encoder.stages.{s}.layers.{b}.layer.{c}.convolution.weight"
                for s, blocks in enumerate((3, 4, 6, 3))
                for b in range(blocks)
                for c in range(3)
            ],
            tuple(f"{s}.layers.{b}" for s, n in enumerate((3, 4, 6, 3)) for b in range(n)),
            ("layer.0.convolution", "layer.1.convolution", "layer.2.convolution"),
        ),
        (["features.0.weight", "features.10.weight", "features.2.weight"], ("0", "2", "10"), None),
        (["weight"], ("(top)",), ("weight",)),
    ],
    ids=["gpt2", "distilbert", "resnet", "resnet-hf", "vgg", "single"],
)
def test_other_architectures_follow_the_same_rule(
    names: list[str], rows: tuple[str, ...], columns: tuple[str, ...] | None
) -> None:
    grid = lay_out(names)
    assert grid.rows == rows
    assert columns is None or grid.columns == columns
    assert set(grid.cells) == set(names)


@given(
    st.sets(
        st.lists(st.sampled_from(["a", "b", "0", "1", "10", "dense"]), min_size=1, max_size=6).map(
            lambda parts: ".".join([*parts, "weight"])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_two_tensors_share_a_cell(names: set[str]) -> None:
    grid = lay_out(sorted(names))
    assert len(set(grid.cells.values())) == len(names)
    assert len(set(grid.columns)) == len(grid.columns)


def test_density_shows_every_tensor_in_percent() -> None:
    pool = pool_of(3)
    figure = charts.density(pool, 2)
    mesh = figure.axes[0].collections[0]
    shown = np.asarray(mesh.get_array()).reshape(12, 6)
    name = "bert.encoder.layer.10.attention.self.key.weight"
    assert shown[10, 1] == pytest.approx(pool.candidates[2].tensors[name].kept / 10)
    text = words(figure)
    assert f"Weights kept per tensor: {charts.label(pool.candidates[2], 2)}" in text
    assert "26,280 of 72,000 weights kept (36.50%)" in text
    assert "weights kept (%)" in text
    assert "attention.self.query" in text


def test_density_of_gaps_and_of_a_mask_that_keeps_nothing() -> None:
    empty = replace(
        candidate(0),
        tensors={
            "layer1.0.conv1.weight": TensorCount(kept=0, total=9),
            "layer1.1.conv2.weight": TensorCount(kept=0, total=0),
        },
    )
    lines = words(charts.density(replace(pool_of(1), candidates=(empty,)), 0)).splitlines()
    assert lines.count("0.00") == 2


def test_density_of_no_tensor_is_a_sentence() -> None:
    bare = replace(candidate(0), tensors={})
    assert "covers no tensor" in words(charts.density(replace(pool_of(1), candidates=(bare,)), 0))
