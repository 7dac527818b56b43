"""The state of a jackpot search, and its checkpoint: one safetensors file, written atomically.

It holds the scores, the optimizer's moments, the current and the best mask as packed bits, the norms'
running statistics, and the curve so far. A search that was killed continues from it to the same numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import canonical_json, finite
from rpmask.lottery_jackpots.norms import Statistics
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.masks.mask import Mask
from rpmask.results import SearchEpoch

FORMAT = "rpmask.search.2"  # 2 adds running statistics
STATISTICS = ("statistics", "best_statistics", "start_statistics")
MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step")  # of SGD and Adam


@dataclass
class SearchState:
    """The progress of a search. loss and swaps are sums over the current epoch.

    The three statistics are the norms' running statistics now, at the best epoch, and at the start.
    """

    identity: str  # of the search; a checkpoint with another identity is refused
    best_mask: Mask
    statistics: Statistics
    best_statistics: Statistics
    start_statistics: Statistics
    step: int = 0
    loss: float = 0.0
    swaps: int = 0
    best_epoch: int = 0
    lower_is_better: bool = False
    epochs: list[SearchEpoch] = field(default_factory=list)

    def add(self, epoch: SearchEpoch, mask: Mask, statistics: Statistics) -> None:
        """Add an epoch; keep its mask and statistics if it is the best so far."""
        self.statistics = statistics
        if not self.epochs:
            self.start_statistics = statistics
        if not self.epochs or self._rank(epoch) > self._rank(self.epochs[self.best_epoch]):
            self.best_epoch, self.best_mask = epoch.epoch, mask
            self.best_statistics = statistics
        self.epochs.append(epoch)
        self.loss, self.swaps = 0.0, 0

    def _rank(self, epoch: SearchEpoch) -> tuple[float, float]:
        """Epochs are ordered by metric, then by loss."""
        return (-epoch.metric if self.lower_is_better else epoch.metric, -epoch.loss)


def save_state(
    path: Path, state: SearchState, scored: ScoredWeights, optimizer: torch.optim.Optimizer
) -> None:
    """Write the checkpoint."""
    arrays: dict[str, torch.Tensor] = {}
    current = scored.mask()
    for name, score in scored.scores.items():
        arrays[f"score/{name}"] = score.detach()
        arrays[f"keep/{name}"] = torch.from_numpy(current.bits[name].copy())
        arrays[f"best/{name}"] = torch.from_numpy(state.best_mask.bits[name].copy())
        for part, value in optimizer.state.get(score, {}).items():
            if isinstance(value, torch.Tensor):
                arrays[f"{part}/{name}"] = value.detach()
    for kind in STATISTICS:
        # Cloned, because safetensors refuses to store one tensor under two names.
        arrays |= {f"{kind}/{name}": value.clone() for name, value in getattr(state, kind).items()}
    document = {
        "identity": state.identity,
        "step": state.step,
        "loss": state.loss,
        "swaps": state.swaps,
        "best_epoch": state.best_epoch,
        "epochs": [epoch.to_dict() for epoch in state.epochs],
    }
    metadata = {"format": FORMAT, "state": canonical_json(finite(document))}
    write_whole(path, safetensors.torch.save(arrays, metadata))


def load_state(
    path: Path, state: SearchState, scored: ScoredWeights, optimizer: torch.optim.Optimizer
) -> None:
    """Restore a checkpoint, unless it is damaged or belongs to another search."""
    hint = f"Delete {path} and give the same command again; the search starts over."
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        document = json.loads(metadata.get("state", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RpmaskError(f"The checkpoint {path} is damaged: {error}.", hint) from error
    if metadata.get("format") != FORMAT or document["identity"] != state.identity:
        raise RpmaskError(
            f"The checkpoint {path} belongs to another search: other weights, start or plan.", hint
        )
    shapes = {name: tuple(score.shape) for name, score in scored.scores.items()}
    masks = {
        kind: Mask({name: arrays[f"{kind}/{name}"].numpy().copy() for name in shapes}, shapes)
        for kind in ("keep", "best")
    }
    scored.restore({name: arrays[f"score/{name}"] for name in shapes}, masks["keep"])
    for name, score in scored.scores.items():
        for part in MOMENTS:
            if (value := arrays.get(f"{part}/{name}")) is not None:
                # Adam counts its steps on the CPU, whatever device the scores are on.
                moved = value if part == "step" else value.to(score.device)
                optimizer.state[score][part] = moved
    state.best_mask = masks["best"]
    for kind in STATISTICS:
        names = getattr(state, kind)
        setattr(state, kind, {name: arrays[f"{kind}/{name}"] for name in names})
    for name in ("step", "loss", "swaps", "best_epoch"):
        setattr(state, name, document[name])
    state.epochs = [SearchEpoch.from_dict(epoch) for epoch in document["epochs"]]
