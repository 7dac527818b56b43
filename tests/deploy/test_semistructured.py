"""2:4 kernels: which matrices fit them; on a GPU, that they answer as the dense ones do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rpmask.deploy import semistructured
from rpmask.errors import RpmaskError


def two_of_four(outputs: int, inputs: int) -> torch.Tensor:
    torch.manual_seed(0)
    weight = torch.randn(outputs, inputs // 4, 4)
    smallest = weight.abs().argsort(dim=2)[:, :, :2]
    return weight.scatter(2, smallest, 0.0).reshape(outputs, inputs)


def test_the_pattern() -> None:
    assert semistructured.is_two_of_four(torch.tensor([[1.0, 0, 2, 0, 0, 0, 3, 4]]))
    assert not semistructured.is_two_of_four(torch.tensor([[1.0, 5, 2, 0, 0, 0, 0, 0]]))
    assert not semistructured.is_two_of_four(torch.zeros(2, 6))


def test_the_sides() -> None:
    assert semistructured.fits_kernels(two_of_four(128, 64))
    assert not semistructured.fits_kernels(two_of_four(96, 64))
    assert not semistructured.fits_kernels(torch.ones(64, 64))


def test_without_a_gpu_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RpmaskError, match="no CUDA device"):
        semistructured.install(nn.Linear(64, 64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernels_multiply_as_the_dense_matrix_does() -> None:
    model = nn.Sequential(nn.Linear(256, 128), nn.Linear(128, 64))
    with torch.no_grad():
        model[0].weight.copy_(two_of_four(128, 256))
    inputs = torch.randn(64, 256)
    with torch.no_grad():
        expected = model(inputs)
        assert semistructured.install(model) == ("0",)
        found = model(inputs.half().cuda()).float().cpu()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
