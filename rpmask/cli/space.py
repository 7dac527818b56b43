"""The search space as a user types it: values, lists and ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rpmask.cli.options import Given, options_of
from rpmask.cli.sources import refuse_with
from rpmask.errors import RpmaskError
from rpmask.masks.granularity import TYPED, group_sparsity
from rpmask.records import IMPORTANCES, SearchSpace
from rpmask.settings import SAMPLING, Checked, setting
from rpmask.steps.requests import SampleRequest

DEFAULT = SearchSpace()


@dataclass(frozen=True)
class TypedSpace(Checked, panel=SAMPLING):
    """The options of the search space."""

    temperature: str = setting(
        DEFAULT.spelled("temperature"),
        "Randomness of the draws: a value, or a list A,B,C or a range LOW..HIGH for the study to search",
    )
    sample_ratio: str = setting(
        DEFAULT.spelled("sample_ratio"),
        "Draws per dropped weight; with more draws a mask is closer to its centre",
    )
    importance: str = setting(
        ",".join(DEFAULT.importances),
        f"Centres to draw around, comma-separated: {', '.join(IMPORTANCES)}",
    )
    allocation: str = setting(
        "uniform,global",
        "owl, row, uniform, global, or a blend between uniform (0) and global (1); comma-separated",
    )

    def parsed(self, given: Given | None = None, usual: SearchSpace = DEFAULT) -> SearchSpace:
        """The space that the study searches. With `given`, options that were not are the usual ones."""
        from rpmask.randomized_masks.allocation import parse_allocation

        ranged = {"temperature": self.temperature, "sample_ratio": self.sample_ratio}
        found = SearchSpace(
            temperature=numbers(self.temperature, "--temperature"),
            sample_ratio=numbers(self.sample_ratio, "--sample-ratio"),
            importances=tuple(part.strip() for part in self.importance.split(",")),
            allocations=tuple(
                parse_allocation(part.strip()) for part in self.allocation.split(",")
            ),
            lists=tuple(name for name, text in ranged.items() if "," in text),
        )
        if given is None:
            return found
        fields = {"importance": "importances", "allocation": "allocations"}
        typed = {fields.get(name, name) for name in SPACE_OPTIONS if name in given}
        values = {name: getattr(found if name in typed else usual, name) for name in SPACE_FIELDS}
        lists = {*found.lists} & typed | {*usual.lists} - typed
        return SearchSpace(**values, lists=tuple(name for name in ranged if name in lists))


SPACE_OPTIONS = options_of(TypedSpace)
SPACE_FIELDS = ("temperature", "sample_ratio", "importances", "allocations")


def fit_groups(request: SampleRequest, given: Given) -> SampleRequest:
    """Groups such as 2:4 fix the sparsity and are cut alike in all tensors: the defaults are theirs."""
    fixed = group_sparsity(request.granularity)
    if fixed is None:
        return request
    if "allocation" not in given:
        request = replace(request, space=replace(request.space, allocations=(0.0,)))
    typed = request.sparsity if "sparsity" in given else fixed
    return replace(request, sparsity=fixed if abs(typed - fixed) < TYPED else typed)


def numbers(text: str, what: str) -> tuple[float, ...]:
    """A number, a range `LOW..HIGH`, or a list `A,B,C`."""
    parts = text.split("..") if ".." in text else text.split(",")
    try:
        found = tuple(float(part) for part in parts)
        if ".." in text:
            low, high = found
            found = (min(low, high), max(low, high))
    except ValueError as error:
        raise RpmaskError(
            f"{what} '{text}' is not a number, a range or a list.",
            "Write 0.2, or 0.05..0.5, or 0.1,0.2.",
        ) from error
    return found


def refuse_space(given: Given, *, like: str | None = None, recipe: str = "default") -> None:
    """Refuse search-space options where the study or the recipe fixes the space."""
    if like is not None:
        why = "its study keeps the importances, allocations, temperatures and ratios that it began with"
        refuse_with("--like", given, SPACE_OPTIONS, why)
    if recipe == "paper":
        why = "it draws around magnitude at its own temperature and ratios"
        refuse_with("--recipe paper", given, SPACE_OPTIONS, why)
