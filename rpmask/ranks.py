"""Several processes of one command, as torchrun starts them: rank 0 leads, the others follow.

The leader is the command as it always is: it alone knows MLflow, prints, and writes. A follower has
one use, to take part in a training, and waits for the leader's word in between. The word goes through
the key-value store that torchrun keeps for its processes, so it needs no process group: a command that
trains nothing never makes one.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError

if TYPE_CHECKING:
    from torch.distributed import Store

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets all of them
FOR_EVER = timedelta(days=3650)  # a leader that dies takes its followers along: torchrun ends them


def world_size() -> int:
    """Processes of this command, on all machines."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(n) for n in LAUNCHED) else 1


def local_size() -> int:
    """Those of them that share this machine's cores and devices."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def is_follower() -> bool:
    """Whether another process of this command leads."""
    return world_size() > 1 and int(os.environ["RANK"]) > 0


def share_of(batch_size: int) -> int:
    """Rows of a step for one process: a step takes the same number, however many share it."""
    share, left = divmod(batch_size, world_size())
    if left or not share:
        raise RpmaskError(
            f"{world_size()} processes cannot share a batch of {batch_size} rows equally.",
            f"Give --batch-size a multiple of {world_size()}.",
        )
    return share


def announce(word: dict[str, Any]) -> None:
    """The leader's next word to every follower; nothing where it is alone."""
    if world_size() > 1:
        _say(word)


def dismiss() -> None:
    """The leader's last word, when all went well; of one that fails, torchrun ends the followers."""
    if world_size() > 1:
        _say(None)
        _leave()


def hear(number: int) -> dict[str, Any] | None:
    """The leader's word of this number, counted from 1; None when the followers are dismissed."""
    store = _store()
    store.wait([_key(number)], FOR_EVER)
    word: dict[str, Any] | None = json.loads(store.get(_key(number)))
    if word is None:
        _leave()
    return word


def _say(word: dict[str, Any] | None) -> None:
    store = _store()
    store.set(_key(store.add("rpmask/words", 1)), json.dumps(word))


def _key(number: int) -> str:
    return f"rpmask/word/{number}"


@cache
def _store() -> Store:
    from torch.distributed import rendezvous

    # Kept for the process's life: without torchrun the leader itself serves it.
    store: Store = next(rendezvous("env://"))[0]
    return store


def _leave() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
