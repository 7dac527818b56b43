"""The request of `jackpot`, and the defaults of its search by task. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import IMPORTANCES, DataChoice
from rpmask.settings import Checked, setting, setting_like, settings_of
from rpmask.steps.requests import SampleRequest
from rpmask.tasks.glue import GLUE, plain_name

# The starts that are drawn for the search; every other start is a run or a version that has a mask.
DRAWN_STARTS = (*IMPORTANCES, "random")

# The paper searches image models only; 256 rows of 128 tokens take a BERT-base tens of gigabytes.
TEXT_SEARCH = SearchPlan(batch_size=64)
TASK_SEARCHES = {
    # The paper's search takes the demo's transformer many minutes; this one finds as much in half a minute.
    "demo": SearchPlan(epochs=3, batch_size=32, learning_rate=1.0),
    # Its 1,078 rows are four batches of 256. A mirrored digit is not a digit.
    "digits": SearchPlan(epochs=10, batch_size=16),
    "cifar10": SearchPlan(augment="crop-flip"),
    "cifar100": SearchPlan(augment="crop-flip"),
}


def task_search(task: str, data: DataChoice) -> SearchPlan:
    """The default search of a task: its own, the one for texts, or the paper's."""
    plain = plain_name(task)
    if data.train is not None:
        return TEXT_SEARCH
    return TASK_SEARCHES.get(plain, TEXT_SEARCH if plain in GLUE else SearchPlan())


@dataclass(frozen=True)
class JackpotRequest(Checked):
    """The parameters of `jackpot`.

    sparsity, allocation, floor, include and exclude are for a start that is drawn; a mask that exists has its
    own. model is where the weights come from, unless the start says it.
    """

    task: str = setting_like(SampleRequest, "task")
    model: str | None = setting(
        None,
        "A folder, a hub id, models:/NAME@ALIAS, or demo",
        "--model",
        "-m",
        none="a built-in task's own; for other texts bert-base-uncased",
        auto=True,
    )
    start: str = setting(
        "magnitude",
        f"Where to begin: {', '.join(DRAWN_STARTS)}, a select, finetune or jackpot RUN_ID, "
        "RUN_ID#CANDIDATE of a pool, or models:/NAME@ALIAS",
        "--from",
        "--start",
        metavar="START",
    )
    sparsity: float = setting_like(SampleRequest, "sparsity", default=0.9)
    allocation: float = 1.0
    floor: float = 0.1
    include: tuple[str, ...] = setting_like(SampleRequest, "include")
    exclude: tuple[str, ...] = setting_like(SampleRequest, "exclude")
    calibration_rows: int = setting_like(SampleRequest, "calibration_rows")
    plan: SearchPlan = settings_of(SearchPlan)
    data: DataChoice = settings_of(DataChoice)
