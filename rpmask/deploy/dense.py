"""Form `dense`: the files that `save_pretrained` writes, with the pruned weights as exact zeros.

Every library reads it. It has no `sparsity_config`, which some runtimes refuse. It is as large and as fast
as the model before pruning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rpmask.deploy.build import first_line
from rpmask.deploy.manifest import damaged
from rpmask.errors import RpmaskError
from rpmask.heads.head import Head
from rpmask.train.models import read_weights


def write(model: Any, folder: Path) -> None:
    """Write weights and config.json as transformers does."""
    model.save_pretrained(folder)


def read(folder: Path, head: Head) -> nn.Module:
    """Read the model with transformers; refused if it would initialise weights at random."""
    try:
        model, missing = read_weights(head.auto_class, str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise damaged(folder, f"transformers cannot load it ({first_line(error)})") from error
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RpmaskError(
            f"The model in {folder} cannot answer: its weights lack '{min(missing)}'{others}.",
            "Train it for a task with `rpmask finetune --dense`, or name a model with a classifier.",
        )
    network: nn.Module = model.eval()
    return network
