"""What a jackpot search has reached, and its checkpoint: one safetensors file, written whole.

Scores, the optimizer's moments, the current and the best mask as packed bits, the norms' running statistics
under both, and the curve so far: a search that was killed continues from here to the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import canonical_json, finite
from rpmask.lottery_jackpots.norms import statistics_digest
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.masks.mask import Mask
from rpmask.results import SearchEpoch
from rpmask.train.plan import SearchPlan

FORMAT = "rpmask.search.2"  # 2 holds running statistics
Statistics = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Searched:
    """What came of a search. The weights' digests are of every parameter of the model.

    statistics are the norms' running means and variances of the best epoch, start_statistics those that the
    start was evaluated with; both are empty for a model without such norms.
    """

    mask: Mask
    epochs: tuple[SearchEpoch, ...]  # the first is the start, before any step
    best_epoch: int
    weights_digest_before: str
    weights_digest_after: str
    statistics_digest_before: str  # the dense model's
    statistics_digest_after: str
    statistics: Statistics = field(compare=False, repr=False)
    start_statistics: Statistics = field(compare=False, repr=False)


@dataclass
class SearchState:
    """How far a search is. loss and swaps are sums over the epoch under way.

    statistics are the norms' running statistics now, at the best epoch, and at the start.
    """

    best_mask: Mask
    identity: str
    statistics: Statistics
    best_statistics: Statistics
    start_statistics: Statistics
    step: int = 0
    loss: float = 0.0
    swaps: int = 0
    best_epoch: int = 0
    epochs: list[SearchEpoch] = field(default_factory=list)

    @classmethod
    def fresh(
        cls, start: Mask, weights_digest: str, dense: Statistics, plan: SearchPlan
    ) -> SearchState:
        """Before the first step. The identity says which search a checkpoint belongs to."""
        identity = canonical_json(
            [start.digest, weights_digest, statistics_digest(dense), plan.to_dict()]
        )
        return cls(start, identity, dense, dense, dense)

    def add(self, epoch: SearchEpoch, mask: Mask, statistics: Statistics) -> None:
        """Note an epoch, and its mask and statistics if it is the best: by metric, then by loss."""
        self.statistics = statistics
        if not self.epochs:
            self.start_statistics = statistics
        if not self.epochs or _rank(epoch) > _rank(self.epochs[self.best_epoch]):
            self.best_epoch, self.best_mask = epoch.epoch, mask
            self.best_statistics = statistics
        self.epochs.append(epoch)


def _rank(epoch: SearchEpoch) -> tuple[float, float]:
    return (epoch.metric, -epoch.loss)


def _kinds(state: SearchState) -> dict[str, Statistics]:
    """Running statistics by the name they have in a checkpoint."""
    return {
        "statistics": state.statistics,
        "best_statistics": state.best_statistics,
        "start_statistics": state.start_statistics,
    }


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
    for kind, statistics in _kinds(state).items():
        # Cloned: what is the same tensor twice is refused.
        arrays |= {f"{kind}/{name}": value.clone() for name, value in statistics.items()}
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
    """Continue from a checkpoint of the same search; of another one it is refused."""
    again = f"Delete {path} and give the same command again; the search starts over."
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        document = json.loads(metadata.get("state", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RpmaskError(f"The checkpoint {path} is damaged: {error}.", again) from error
    if metadata.get("format") != FORMAT or document["identity"] != state.identity:
        raise RpmaskError(
            f"The checkpoint {path} is of another search: other weights, start or plan.", again
        )
    shapes = {name: tuple(score.shape) for name, score in scored.scores.items()}
    masks = {
        kind: Mask({name: arrays[f"{kind}/{name}"].numpy().copy() for name in shapes}, shapes)
        for kind in ("keep", "best")
    }
    scored.restore({name: arrays[f"score/{name}"] for name in shapes}, masks["keep"])
    for name, score in scored.scores.items():
        for part in ("momentum_buffer", "exp_avg", "exp_avg_sq", "step"):
            if (value := arrays.get(f"{part}/{name}")) is not None:
                # Adam counts its steps on the CPU, whatever device it works on.
                moved = value if part == "step" else value.to(score.device)
                optimizer.state[score][part] = moved
    state.best_mask = masks["best"]
    state.statistics, state.best_statistics, state.start_statistics = (
        {name: arrays[f"{kind}/{name}"] for name in statistics}
        for kind, statistics in _kinds(state).items()
    )
    state.step, state.loss, state.swaps = document["step"], document["loss"], document["swaps"]
    state.best_epoch = document["best_epoch"]
    state.epochs = [SearchEpoch.from_dict(epoch) for epoch in document["epochs"]]
