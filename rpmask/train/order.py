"""The order in which a training sees its rows: of the seed and the epoch alone.

The Trainer's own sampler draws from the global random numbers, which a resumed training has not come to when
it goes on in the middle of an epoch: it would go on with other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from rpmask.streams import generator


class EpochOrder(LengthGroupedSampler):
    """Rows of about a length together, shuffled anew in each epoch; epoch says which one begins."""

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        super().__init__(batch_size, lengths=list(lengths))
        self._seed, self._epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        drawn = generator(self._seed, "training", str(self._epoch())).integers(2**63)
        self.generator = torch.Generator().manual_seed(int(drawn))
        return super().__iter__()
