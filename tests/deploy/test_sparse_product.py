"""The compiled product of a CSR matrix: its sums, its compiler, and where its library is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rpmask.deploy import sparse_product
from rpmask.deploy.measure import pinned
from rpmask.deploy.sparse_product import Csr, NotCompiled, multiply

needs_a_compiler = pytest.mark.skipif(
    bool(sparse_product.absent()), reason=f"no compiled product: {sparse_product.absent()}"
)


@pytest.fixture
def anew() -> Iterator[None]:
    """Compile again, and forget it afterwards."""
    found = (sparse_product._library, sparse_product.absent)
    for each in found:
        each.cache_clear()
    yield
    for each in found:
        each.cache_clear()


def matrix(outputs: int, inputs: int, share: float, bias: bool = True) -> tuple[Csr, torch.Tensor]:
    """A random matrix with empty rows, and the same one dense."""
    random = torch.Generator().manual_seed(outputs + inputs)
    dense = torch.randn(outputs, inputs, generator=random)
    dense *= torch.rand(outputs, inputs, generator=random) < share
    dense[::5] = 0
    sparse = dense.to_sparse_csr()
    starts, columns = sparse.crow_indices().int(), sparse.col_indices().to(torch.uint16)
    bias_of = torch.randn(outputs, generator=random) if bias else None
    return Csr(starts, columns, sparse.values(), bias_of, inputs), dense


@needs_a_compiler
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (16, 16), (33, 300), (100, 65536)])
def test_sums_are_those_of_the_dense_matrix(
    shape: tuple[int, int], bias: bool, threads: int
) -> None:
    sparse, dense = matrix(*shape, share=0.2, bias=bias)
    for rows in (0, 1, 2, 8, 9, 16, 17, 32, 33, 65, 80):
        inputs = torch.randn(rows, shape[1])
        exact = inputs.double() @ dense.double().t()
        if sparse.bias is not None:
            exact += sparse.bias
        with pinned(threads):
            found = multiply(sparse, inputs)
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-3)


@needs_a_compiler
def test_inputs_that_are_not_contiguous_and_have_gradients() -> None:
    sparse, dense = matrix(20, 30, share=0.3, bias=False)
    inputs = torch.randn(30, 12, requires_grad=True).t()
    found = multiply(sparse, inputs)
    assert not found.requires_grad
    torch.testing.assert_close(found, (inputs @ dense.t()).detach(), rtol=1e-5, atol=1e-5)


@needs_a_compiler
def test_threads_change_no_answer() -> None:
    sparse, _ = matrix(300, 200, share=0.1)
    inputs = torch.randn(50, 200)
    answers = []
    for threads in (1, 2):
        with pinned(threads):
            answers.append(multiply(sparse, inputs))
    assert torch.equal(*answers)


@needs_a_compiler
def test_the_library_is_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sparse_product.absent() == ""
    [made] = (tmp_path / "rpmask").iterdir()
    when = made.stat().st_mtime_ns
    sparse_product._library.cache_clear()
    sparse_product._library()
    assert [*(tmp_path / "rpmask").iterdir()] == [made]
    assert made.stat().st_mtime_ns == when


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, anew: None) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no C compiler" in sparse_product.absent()
    monkeypatch.setenv("RPMASK_COMPILE", "0")
    sparse_product.absent.cache_clear()
    assert "RPMASK_COMPILE" in sparse_product.absent()


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: None) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho it cannot >&2\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(NotCompiled, match="it cannot"):
        sparse_product._library()


def test_a_folder_that_others_may_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: None
) -> None:
    folder = tmp_path / "rpmask"
    folder.mkdir()
    os.chmod(folder, 0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "cc")
    assert "other users may write" in sparse_product.absent()
