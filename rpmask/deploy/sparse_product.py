"""The product of a CSR matrix as compiled C, which is faster than torch's own.

`sparse_product.c` is compiled for this processor on first use, and kept in the user's cache folder. Without a
C compiler, `multiply` is not available, and `csr.py` uses torch's product.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from rpmask.files import write_whole

SOURCE = Path(__file__).with_suffix(".c")
NAME = "rpmask_sparse_product"
COMPILERS = ("cc", "gcc", "clang")
# Compilers without OpenMP refuse the flag, and those of some processors do not know "native".
FLAGS = (
    ("-O3", "-march=native", "-fopenmp"),
    ("-O3", "-march=native"),
    ("-O3",),
)
WIDEST = 32  # rows that the C code multiplies together
INPUTS = 2**16  # column indices have 16 bits
SECONDS = 60


@dataclass(frozen=True)
class Csr:
    """A matrix of float32 in compressed rows, with its bias."""

    starts: torch.Tensor  # (outputs + 1,), int32
    columns: torch.Tensor  # (kept,), uint16
    values: torch.Tensor  # (kept,)
    bias: torch.Tensor | None  # (outputs,)
    inputs: int


class NotCompiled(Exception):
    """Why there is no compiled product."""


def multiply(matrix: Csr, inputs: torch.Tensor) -> torch.Tensor:
    """inputs (rows, in) -> (rows, out). No gradient passes through it."""
    inputs = inputs.detach().contiguous()
    rows, outputs = inputs.shape[0], matrix.starts.shape[0] - 1
    found = torch.empty(rows, outputs)
    scratch = torch.empty(WIDEST * matrix.inputs) if rows > 1 else found
    _library()(
        matrix.starts.data_ptr(),
        matrix.columns.data_ptr(),
        matrix.values.data_ptr(),
        None if matrix.bias is None else matrix.bias.data_ptr(),
        inputs.data_ptr(),
        found.data_ptr(),
        scratch.data_ptr(),
        rows,
        matrix.inputs,
        outputs,
        torch.get_num_threads(),
    )
    return found


def fits(weight: torch.Tensor) -> bool:
    """Whether the compiled product takes the matrix."""
    return weight.shape[1] <= INPUTS and weight.dtype == torch.float32 and not weight.is_cuda


@cache
def absent() -> str:
    """Why there is no compiled product on this machine; empty if there is one."""
    try:
        _library()
    except NotCompiled as error:
        return str(error)
    return ""


@cache
def _library() -> Any:
    """The C function."""
    if os.environ.get("RPMASK_COMPILE") == "0":
        raise NotCompiled("RPMASK_COMPILE is 0")
    compiler = os.environ.get("CC") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise NotCompiled(f"no C compiler was found ({', '.join(COMPILERS)})")
    folder = _folder()
    source = SOURCE.read_bytes()
    about = repr((source, FLAGS, compiler, platform.machine(), _processor())).encode()
    path = folder / f"{NAME}-{hashlib.sha256(about).hexdigest()[:16]}.so"
    if not path.is_file():
        write_whole(path, _compiled(compiler))
    try:
        function = getattr(ctypes.CDLL(str(path)), NAME)
    except (OSError, AttributeError) as error:
        raise NotCompiled(f"{path} cannot be loaded ({error})") from error
    function.argtypes = (*[ctypes.c_void_p] * 7, *[ctypes.c_int] * 4)
    function.restype = None
    return function


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _folder() -> Path:
    """The cache folder, in which no other user can place a library."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "rpmask"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
    except OSError as error:
        raise NotCompiled(f"{folder} cannot be made ({error.strerror})") from error
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotCompiled(f"other users may write to {folder}")
    return folder


def _compiled(compiler: str) -> bytes:
    """The shared library, with the best flags that the compiler takes."""
    said = ""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.so"
        for flags in FLAGS:
            command = [compiler, *flags, "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=SECONDS, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NotCompiled(f"{compiler} does not run ({error})") from error
            if done.returncode == 0:
                return made.read_bytes()
            said = (done.stderr.strip().splitlines() or ["no message"])[0]
    raise NotCompiled(f"{compiler} does not compile {SOURCE.name} ({said})")
