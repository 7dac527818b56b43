"""Form `dense`: what `save_pretrained` writes, with the pruned weights as exact zeros.

Every library reads it and none needs to know that it is pruned: there is no `sparsity_config`, which some
runtimes refuse. It is as large and as fast as the model before pruning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.deploy.build import auto_class, first_line
from rpmask.deploy.manifest import damaged


def write(model: Any, folder: Path) -> None:
    """Weights and config.json, as transformers writes them."""
    model.save_pretrained(folder)


def read(folder: Path, inputs: str) -> nn.Module:
    """The model, as transformers reads it."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model: nn.Module = auto_class(inputs).from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise damaged(folder, f"transformers cannot load it ({first_line(error)})") from error
    return model.eval()
