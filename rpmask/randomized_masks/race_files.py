"""What a race has already found out, on disk: one folder, one set of files a rung.

A rung is finished when its JSON is there; the arrays and the training state are written before it.
Killed at any moment, a race loses at most the rungs in hand.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.files import replacing, write_whole
from rpmask.randomized_masks.losses import losses_digest
from rpmask.randomized_masks.race_worker import LegResult
from rpmask.records import Score


@dataclass(frozen=True)
class Finished:
    """A finished rung: its score, and of each example the loss and what candidates are ranked by."""

    score: Score
    losses: np.ndarray
    values: np.ndarray


class RungFiles:
    """The finished rungs of a race."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, candidate: int, rung: int, kind: str) -> Path:
        return self._folder / f"candidate-{candidate}-rung-{rung}.{kind}"

    def get(self, candidate: int, rung: int) -> Finished | None:
        """What a finished rung found out, if its array is the one that its score was written with."""
        path = self._path(candidate, rung, "json")
        if not path.exists():
            return None
        score = Score.from_dict(json.loads(path.read_text()), path.name)
        array = self._path(candidate, rung, "npy")
        try:
            kept = np.load(array, allow_pickle=False)
            found = Finished(score, kept[0], kept[-1])
        except (OSError, ValueError, EOFError, IndexError, TypeError) as error:
            raise _other_losses(array) from error
        if losses_digest(found.losses) != score.losses_digest or not _ranks(found):
            raise _other_losses(array)
        return found

    def state(self, candidate: int, rung: int) -> bytes | None:
        """The training state at the end of a rung; None before the first."""
        return self._path(candidate, rung, "state").read_bytes() if rung >= 0 else None

    def seconds(self) -> tuple[float, float]:
        """What all the finished rungs together took: refitting, and training."""
        taken = [json.loads(path.read_text()) for path in self._folder.glob("*.seconds")]
        return sum(refit for refit, _ in taken), sum(train for _, train in taken)

    def forget(self, candidate: int, rung: int) -> None:
        """Drop the training state of a candidate that goes on no further; it may be large."""
        self._path(candidate, rung, "state").unlink(missing_ok=True)

    def put(self, result: LegResult) -> Finished:
        """Keep a finished rung, and forget the training state of the rung before it."""
        found = [result.losses] if result.distances is None else [result.losses, result.distances]
        kept = np.stack(found).astype(np.float64)  # (1 or 2, rows)
        losses = kept[0]
        score = Score(
            candidate=result.candidate,
            rung=result.rung,
            step=result.step,
            loss=float(losses.mean()),
            metric=result.metric,
            train_loss=result.train_loss,
            losses_digest=losses_digest(losses),
            distance=float(kept[1].mean()) if len(kept) > 1 else None,
        )
        seconds = json.dumps([result.refit_seconds, result.train_seconds]).encode()
        write_whole(self._path(result.candidate, result.rung, "seconds"), seconds)
        if result.state is not None:
            write_whole(self._path(result.candidate, result.rung, "state"), result.state)
        with replacing(self._path(result.candidate, result.rung, "npy")) as file:
            np.save(file, kept, allow_pickle=False)
        document = json.dumps(score.to_dict()).encode()
        write_whole(self._path(result.candidate, result.rung, "json"), document)
        if result.rung:
            self.forget(result.candidate, result.rung - 1)
        return Finished(score, losses, kept[-1])


def _ranks(found: Finished) -> bool:
    """Whether what a race ranks by is what the score says; of losses their digest has said so."""
    said = found.score.distance
    if said is None or not math.isfinite(said):
        return True
    return math.isclose(float(found.values.mean()), said, rel_tol=1e-12)


def _other_losses(path: Path) -> RpmaskError:
    return RpmaskError(
        f"The losses in {path} are not the ones that the rung ended with.",
        "The file was damaged or changed; race again with `rpmask screen --force`.",
    )
