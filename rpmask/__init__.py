"""rpmask: draw many pruning masks, race them, keep the best with evidence, train it.

    import rpmask

    pool = rpmask.sample(task="demo", k=8)
    race = rpmask.screen(pool)
    chosen = rpmask.select(race)
    trained = rpmask.finetune(chosen)

Each verb of the command line is a function, and each option a keyword of it (`docs/python.md`). A name is
imported when it is first used: it brings libraries along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpmask.cli.python import Result as Result
    from rpmask.cli.python import bench as bench
    from rpmask.cli.python import export as export
    from rpmask.cli.python import finetune as finetune
    from rpmask.cli.python import jackpot as jackpot
    from rpmask.cli.python import report as report
    from rpmask.cli.python import run as run
    from rpmask.cli.python import sample as sample
    from rpmask.cli.python import screen as screen
    from rpmask.cli.python import select as select
    from rpmask.cli.python import tune as tune
    from rpmask.cli.python_reading import mask as mask
    from rpmask.cli.python_reading import predict as predict
    from rpmask.deploy.load import load as load
    from rpmask.errors import RpmaskError as RpmaskError

__version__ = "0.1.0"

VERBS = (
    *("sample", "screen", "select", "finetune", "run", "tune", "jackpot", "report"),
    *("export", "bench"),
)
PLACES = {
    "load": "rpmask.deploy.load",
    "RpmaskError": "rpmask.errors",
    **dict.fromkeys((*VERBS, "Result"), "rpmask.cli.python"),
    **dict.fromkeys(("predict", "mask"), "rpmask.cli.python_reading"),
}
__all__ = ["__version__", *PLACES]


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for."""
    if name in PLACES:
        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'rpmask' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
