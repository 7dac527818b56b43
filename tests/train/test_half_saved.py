"""SIGKILL inside the writing of a checkpoint: what was half written is removed, and the end is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_trainer import PLAN, run

TESTS = Path(__file__).parent
# The training of `run`, killed right after half of one file of one checkpoint is on the disk.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import torch
import transformers
from rpmask.train.masked_trainer import MaskedTrainer
from test_trainer import PLAN, run

folder, checkpoint, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
half = folder / checkpoint / name

def deadly(write):
    def writing(*arguments, **keywords):
        found = write(*arguments, **keywords)
        if half.exists():
            os.truncate(half, half.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return writing

MaskedTrainer._save = deadly(MaskedTrainer._save)
MaskedTrainer._save_optimizer_and_scheduler = deadly(MaskedTrainer._save_optimizer_and_scheduler)
transformers.TrainerState.save_to_json = deadly(transformers.TrainerState.save_to_json)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
run(folder, PLAN)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    torch.use_deterministic_algorithms(True)
    try:
        return run(tmp_path_factory.mktemp("whole"), PLAN).state_dict()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("checkpoint-8", "optimizer.pt"),  # nothing to go back to
        ("checkpoint-16", "model.safetensors"),
        ("checkpoint-16", "trainer_state.json"),  # the very last that is written
    ],
)
def test_a_half_written_checkpoint_is_removed(
    checkpoint: str, name: str, undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    places = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), checkpoint, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half = tmp_path / checkpoint / name
    size = half.stat().st_size
    torch.use_deterministic_algorithms(True)
    try:
        again = run(tmp_path, PLAN).state_dict()
    finally:
        torch.use_deterministic_algorithms(False)
    for tensor, value in undisturbed.items():
        assert torch.equal(value, again[tensor]), tensor
    assert not half.exists() or half.stat().st_size > size  # written anew, whole
    assert (tmp_path / "checkpoint-16" / "trainer_state.json").exists()
