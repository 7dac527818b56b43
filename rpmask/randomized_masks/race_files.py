"""The finished rungs of a race on disk: one folder, and one set of files for each candidate and rung.

A rung is finished when its JSON file exists; the arrays and the training state are written before it.
A race that is killed at any moment loses at most the rungs in progress.

A training state that an engine keeps in its own place is not written: what stands for it is held as long as
the race runs. Without a state the next leg trains the candidate from the beginning.
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
from rpmask.randomized_masks.race_worker import LegResult, State
from rpmask.records import Score


@dataclass(frozen=True)
class FinishedRung:
    """A candidate's score at a rung, and for each held-out row the loss and the value it is ranked by."""

    score: Score
    losses: np.ndarray
    values: np.ndarray


class RungFiles:
    """Reads and writes the finished rungs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._elsewhere: dict[tuple[int, int], State] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, candidate: int, rung: int, kind: str) -> Path:
        return self._folder / f"candidate-{candidate}-rung-{rung}.{kind}"

    def get(self, candidate: int, rung: int) -> FinishedRung | None:
        """A finished rung, if its arrays are the ones its score was computed from; None if not finished."""
        path = self._path(candidate, rung, "json")
        if not path.exists():
            return None
        score = Score.from_dict(json.loads(path.read_text()), path.name)
        array = self._path(candidate, rung, "npy")
        try:
            rows = np.load(array, allow_pickle=False)
            found = FinishedRung(score, rows[0], rows[-1])
        except (OSError, ValueError, EOFError, IndexError, TypeError) as error:
            raise _other_losses(array) from error
        if losses_digest(found.losses) != score.losses_digest or not _mean_agrees(found):
            raise _other_losses(array)
        return found

    def state(self, candidate: int, rung: int) -> State | None:
        """The training state at the end of a rung; None before the first, and where it was lost."""
        if (candidate, rung) in self._elsewhere:
            return self._elsewhere[candidate, rung]
        path = self._path(candidate, rung, "state")
        return path.read_bytes() if path.exists() else None

    def seconds(self) -> tuple[float, float]:
        """Seconds of refitting and of training in all finished rungs."""
        taken = [json.loads(path.read_text()) for path in self._folder.glob("*.seconds")]
        return sum(refit for refit, _ in taken), sum(train for _, train in taken)

    def drop_state(self, candidate: int, rung: int) -> None:
        """Delete a training state that no leg will continue; it may be large."""
        self._elsewhere.pop((candidate, rung), None)
        self._path(candidate, rung, "state").unlink(missing_ok=True)

    def put(self, result: LegResult) -> FinishedRung:
        """Write a finished rung, and delete the training state of the rung before it."""
        arrays = [result.score.losses]
        if result.score.distances is not None:
            arrays.append(result.score.distances)
        rows = np.stack(arrays).astype(np.float64)  # (1 or 2, held-out rows)
        score = Score(
            candidate=result.candidate,
            rung=result.rung,
            step=result.step,
            loss=float(rows[0].mean()),
            metric=result.score.metric,
            train_loss=result.train_loss,
            losses_digest=losses_digest(rows[0]),
            distance=float(rows[1].mean()) if len(rows) > 1 else None,
        )
        seconds = json.dumps([result.refit_seconds, result.train_seconds]).encode()
        write_whole(self._path(result.candidate, result.rung, "seconds"), seconds)
        if isinstance(result.state, bytes):
            write_whole(self._path(result.candidate, result.rung, "state"), result.state)
        elif result.state is not None:
            self._elsewhere[result.candidate, result.rung] = result.state
        with replacing(self._path(result.candidate, result.rung, "npy")) as file:
            np.save(file, rows, allow_pickle=False)
        document = json.dumps(score.to_dict()).encode()
        write_whole(self._path(result.candidate, result.rung, "json"), document)
        if result.rung:
            self.drop_state(result.candidate, result.rung - 1)
        return FinishedRung(score, rows[0], rows[-1])


def _mean_agrees(found: FinishedRung) -> bool:
    """Whether the mean distance is the score's; the losses are proved by their digest."""
    distance = found.score.distance
    if distance is None or not math.isfinite(distance):
        return True
    return math.isclose(float(found.values.mean()), distance, rel_tol=1e-12)


def _other_losses(path: Path) -> RpmaskError:
    return RpmaskError(
        f"The losses in {path} are not the ones that the rung ended with.",
        "The file was damaged or changed; race again with `rpmask screen --force`.",
    )
