"""Wanda and SparseGPT of the benchmarks have the properties that their papers state."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from rivals import DAMPING, prune, smallest, sparsegpt, wanda


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hessian(width: int) -> torch.Tensor:
    seen = normal(400, width, seed=1) @ (torch.eye(width) + 0.4 * normal(width, width, seed=2))
    return seen.T @ seen


def test_wanda_by_hand() -> None:
    """The paper's figure: small weights survive where their inputs are large."""
    weight = torch.tensor([[4.0, 0.0, 1.0, -1.0], [3.0, -2.0, -1.0, -3.0], [-3.0, 1.0, 0.0, 2.0]])
    norms = torch.tensor([1.0, 2.0, 8.0, 3.0])
    found = wanda(weight, norms.square(), 0.5, groups=False)
    expected = [[4.0, 0.0, 1.0, 0.0], [0.0, 0.0, -1.0, -3.0], [-3.0, 0.0, 0.0, 2.0]]
    assert found.tolist() == expected


@pytest.mark.parametrize("groups", [False, True])
def test_sparsegpt_with_an_identity_hessian_is_magnitude(groups: bool) -> None:
    weight = normal(16, 128)
    found = sparsegpt(weight, torch.eye(128), 0.5, groups=groups)
    if groups:
        drop = smallest(weight.abs().reshape(-1, 4), 2).reshape(weight.shape)
    else:
        drop = smallest(weight.abs().reshape(1, -1), weight.numel() // 2).reshape(weight.shape)
    assert torch.equal(found, weight.masked_fill(drop, 0.0))


def test_sparsegpt_corrects_as_the_optimal_brain_surgeon() -> None:
    """Where the dropped columns come first, the rest is the least-squares solution of the damped problem."""
    gram = hessian(24)
    damped = gram + DAMPING * gram.diagonal().mean() * torch.eye(24)
    weight = normal(5, 24)
    weight[:, :12] *= 1e-3  # dropped in every row
    found = sparsegpt(weight, gram, 0.5, groups=False)
    assert not found[:, :12].any()
    wanted = weight[:, 12:] + weight[:, :12] @ damped[:12, 12:] @ damped[12:, 12:].inverse()
    assert torch.allclose(found[:, 12:], wanted, atol=1e-4)


def test_sparsegpt_leaves_a_smaller_error_than_dropping() -> None:
    weight, gram = normal(32, 256), hessian(256)
    found = sparsegpt(weight, gram, 0.5, groups=False)
    apart = [each - weight for each in (found, weight.masked_fill(found == 0, 0.0))]
    errors = [float(((each @ gram) * each).sum()) for each in apart]
    assert errors[0] < 0.7 * errors[1]
    assert int((found == 0).sum()) == weight.numel() // 2


def test_a_walk_prunes_every_matrix_of_the_blocks() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, 50, (6, 12), generator=torch.Generator().manual_seed(0))
    prune(
        model, tokens, lambda weight, sums: wanda(weight, sums, 0.5, groups=False), products=False
    )
    for name, value in model.named_parameters():
        share = float((value == 0).float().mean())
        assert share == (0.5 if "proj" in name else 0.0), name
