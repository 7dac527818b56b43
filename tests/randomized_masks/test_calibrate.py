"""What the statistics are, by hand; and those that say nothing of any weight are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.heads.splits import Encoded
from rpmask.randomized_masks.calibrate import GRADIENT_ROWS, SOFTENED, calibrate
from rpmask.randomized_masks.input_statistics import DAMPING, precision
from rpmask.tasks.spec import TaskSpec
from rpmask.train.observer import Silent

NAMES = [f"encoder.layer.{i}.output.dense.weight" for i in range(2)]


def test_no_rows_are_no_statistics() -> None:
    model = tiny_bert()
    for kind in ("fisher", "true-fisher", "taylor", "wanda", "sparsegpt"):
        with pytest.raises(RpmaskError, match=f"The {kind} statistics of 0 rows are zero"):
            calibrate(
                model,
                toy_rows(4).take(np.array([], dtype=int)),
                TOY_TASK,
                NAMES,
                [kind],
                seed=0,
                observer=Silent(),
            )


def test_a_tensor_may_be_without_gradient_but_not_all() -> None:
    model = tiny_bert()
    with torch.no_grad():
        model.base_model.encoder.layer[1].output.LayerNorm.weight.zero_()  # cuts off all below it
    with pytest.raises(RpmaskError, match="zero for every weight"):
        calibrate(model, toy_rows(8), TOY_TASK, NAMES, ["fisher"], seed=0, observer=Silent())
    pooled = [*NAMES, "pooler.dense.weight"]
    with torch.no_grad():
        model.base_model.encoder.layer[1].output.LayerNorm.bias.fill_(0.1)
    found = calibrate(model, toy_rows(8), TOY_TASK, pooled, ["fisher"], seed=0, observer=Silent())
    assert not found["fisher"].tensors[NAMES[0]].any()
    assert found["fisher"].tensors["pooler.dense.weight"].any()


def true_fisher(data: Encoded, *, spec: TaskSpec = TOY_TASK, seed: int = 0) -> torch.Tensor:
    found = calibrate(
        tiny_bert(labels=spec.outputs),
        data,
        spec,
        ["pooler.dense.weight"],
        ["true-fisher"],
        seed=seed,
        observer=Silent(),
    )
    return found["true-fisher"].tensors["pooler.dense.weight"]


def test_true_fisher_is_what_answers_move_by() -> None:
    row = toy_rows(1)
    model = tiny_bert().eval()
    weight = model.base_model.pooler.dense.weight
    batch = row.batch(np.array([0]))
    batch.pop("labels")
    log_shares = (model(**batch).logits / SOFTENED).log_softmax(-1)[0]
    expected = torch.zeros_like(weight)
    for said in log_shares:  # the mean of squared gradients, by how likely each answer is
        (grad,) = torch.autograd.grad(said, [weight], retain_graph=True)
        expected += said.exp().detach() * grad.square() / GRADIENT_ROWS
    found = true_fisher(row.take(np.zeros(2000, dtype=int)))
    assert torch.allclose(found, expected, rtol=0.15, atol=1e-3 * float(expected.max()))


def test_true_fisher_does_not_look_at_labels() -> None:
    rows = toy_rows(32)
    other = replace(rows, labels=1 - rows.labels)
    assert torch.equal(true_fisher(rows), true_fisher(other))
    assert not torch.equal(true_fisher(rows), true_fisher(rows, seed=1))


def test_true_fisher_of_a_regression() -> None:
    number = replace(
        TOY_TASK, kind="regression", labels=(), metrics=("pearson",), primary="pearson"
    )
    found = true_fisher(toy_rows(16), spec=number)
    assert found.any()


def test_padding_is_no_input() -> None:
    """Rows of several lengths weigh as much together as each on its own."""
    rows, names = toy_rows(12), ["encoder.layer.1.output.dense.weight", "pooler.dense.weight"]
    assert len(set(rows.lengths)) > 1

    def squares(data: Encoded) -> list[torch.Tensor]:
        found = calibrate(tiny_bert(), data, TOY_TASK, names, ["wanda"], seed=0, observer=Silent())[
            "wanda"
        ]
        return [found.tensors[name].square() for name in names]

    together = squares(rows)
    alone = [
        squares(replace(rows.take(np.array([i])), max_length=int(rows.lengths[i])))
        for i in range(12)
    ]
    for tensor, single in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.allclose(tensor, torch.stack(single).sum(0), rtol=1e-3)


def test_a_precision_is_what_leaving_an_input_out_costs() -> None:
    """The least squared error of a unit that loses w_j is w_j^2 times the precision of input j."""
    inputs = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs[:, 5] += inputs[:, 0]
    ridge = DAMPING * float(inputs.square().sum(0).mean())
    damped = torch.cat([inputs, ridge**0.5 * torch.eye(6, dtype=torch.float64)])
    found = precision(inputs.T @ inputs)
    for j in range(6):
        others = damped[:, [i for i in range(6) if i != j]]
        left = torch.linalg.lstsq(others, damped[:, j : j + 1]).solution
        error = (damped[:, j : j + 1] - others @ left).square().sum()
        assert float(found[j]) == pytest.approx(float(error), rel=1e-9)
    shares = found / inputs.square().sum(0)
    assert shares[4] > 0.9
    assert shares[5] < 0.7  # the first input says half of what the last one says
    assert precision(torch.full((2, 2), torch.nan)).isnan().all()


def test_matrices_with_one_input_share_its_statistics() -> None:
    layer = "encoder.layer.0.attention.self"
    names = [f"{layer}.{part}.weight" for part in ("query", "key", "value")]
    found = calibrate(
        tiny_bert(),
        toy_rows(12),
        TOY_TASK,
        [*names, NAMES[0]],
        ["sparsegpt", "wanda"],
        seed=0,
        observer=Silent(),
    )
    tensors = found["sparsegpt"].tensors
    assert torch.equal(tensors[names[0]], tensors[names[2]])
    assert tensors[NAMES[0]].shape == found["wanda"].tensors[NAMES[0]].shape
    # An input costs at most its own square to leave out.
    for name in (*names, NAMES[0]):
        squares = found["wanda"].tensors[name].square()
        assert bool((tensors[name] <= squares + DAMPING * squares.mean() * 1.001).all())
