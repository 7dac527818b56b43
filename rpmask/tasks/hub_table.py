"""A split of any dataset of the hub as a table: `hub:ORG/NAME`, in the place of a file.

`hub:ORG/NAME:SPLIT` names the split, `hub:ORG/NAME:CONFIG:SPLIT` the configuration as well.
"""

from __future__ import annotations

from typing import Any

from rpmask.errors import RpmaskError
from rpmask.tasks.hub import HubDataset
from rpmask.tasks.tables import INCOMPLETE, Table

PREFIX = "hub:"
SPLITS = ("train", "validation")  # those meant where an address names none: to train, and as dev


def is_on_hub(place: str) -> bool:
    """Whether a name of rows is an address on the hub, not a file."""
    return place.startswith(PREFIX)


def read_hub_table(address: str, split: str) -> Table:
    """Read the split that the address names, or this one."""
    repository, *rest = address.removeprefix(PREFIX).split(":")
    if not repository or len(rest) > 2 or not all(rest):
        raise RpmaskError(
            f"'{address}' is no address of a dataset.",
            "Write hub:ORG/NAME, hub:ORG/NAME:SPLIT or hub:ORG/NAME:CONFIG:SPLIT.",
        )
    on_hub = HubDataset(
        task=address,
        repository=repository,
        config=rest[0] if len(rest) == 2 else "",
        splits={"rows": rest[-1] if rest else split},
        alternatives="Connect to the network, or download the dataset once with "
        f"`datasets.load_dataset('{repository}')`; or give files.",
    )
    found = on_hub.load()[0]["rows"]
    if not len(found):
        raise RpmaskError(f"{address} has no rows.", INCOMPLETE)
    columns = {name: _named(found.features[name], found[name][:]) for name in found.column_names}
    return Table(address, columns, range(1, len(found) + 1), "row")


def _named(feature: Any, values: list[Any]) -> list[Any]:
    """Values of a column, class numbers as their names; -1 and no value are None."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return [None if each is None or each < 0 else feature.int2str(each) for each in values]
    if isinstance(inner := getattr(feature, "feature", None), datasets.ClassLabel):
        return [each if each is None else _named(inner, each) for each in values]
    return values
