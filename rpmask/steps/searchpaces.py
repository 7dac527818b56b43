"""How long and in what batches each task's jackpot is searched where the command does not say.

Torch-free, so that the command line can show it.
"""

from __future__ import annotations

from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice
from rpmask.tasks.glue import GLUE, plain_name

# The paper searches image models only; 256 rows of 128 tokens take a BERT-base tens of gigabytes.
TEXT_PACE = SearchPlan(batch_size=64)
SEARCH_PACES = {
    # The paper's search takes the demo's transformer many minutes; this one finds as much in half a minute.
    "demo": SearchPlan(epochs=3, batch_size=32, learning_rate=1.0),
    # Its 1,078 rows are four batches of 256. A mirrored digit is none.
    "digits": SearchPlan(epochs=10, batch_size=16),
    "cifar10": SearchPlan(augment="crop-flip"),
    "cifar100": SearchPlan(augment="crop-flip"),
}


def search_pace(task: str, data: DataChoice) -> SearchPlan:
    """A task's own plan, the one for texts, or the paper's."""
    plain = plain_name(task)
    if data.train is not None:
        return TEXT_PACE
    return SEARCH_PACES.get(plain, TEXT_PACE if plain in GLUE else SearchPlan())
