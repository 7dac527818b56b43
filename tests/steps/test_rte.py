"""`rpmask run` on a real task: GLUE's RTE from a folder in the classic layout, dense model first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import answer

from rpmask.tasks.builtin import demo_model_dir

GLUE = Path(
    os.environ.get("RPMASK_GLUE_DIR") or Path(__file__).parents[2] / ".." / "shared/data/glue"
)
BUDGET = [
    *("--levels", "0.6,0.8", "--k", "2", "--train-rows", "96", "--selection-rows", "40"),
    *("--examples", "40", "--epochs", "1", "--level-epochs", "1", "--dense-epochs", "1"),
    *("--max-length", "48", "--threads", "1"),
]


@pytest.mark.skipif(not (GLUE / "RTE").is_dir(), reason="no GLUE folder: set RPMASK_GLUE_DIR")
def test_rte_from_an_encoder_without_its_head(tmp_path: Path) -> None:
    # The demo's BERT stands in for an encoder: its head is for other labels, so RTE's is trained first.
    command = ["run", "-t", "rte", "-m", str(demo_model_dir()), "--data-dir", str(GLUE), *BUDGET]
    result = answer(command, tmp_path)
    assert result["dense"]["model"]["name"] == "rpmask-rte"
    assert result["dense"]["model"]["alias"] == "dense"
    assert result["dense"]["sparsity"] == 0.0
    assert [level["sparsity"] for level in result["levels"]] == [0.6, 0.8]
    for level in result["levels"]:
        assert level["finetune"]["dense"] == result["dense"]["dev"]
        assert 0.0 <= level["finetune"]["dev"]["accuracy"] <= 1.0
        assert level["finetune"]["majority"]["accuracy"] == pytest.approx(146 / 277)
