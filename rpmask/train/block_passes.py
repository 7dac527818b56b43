"""Forward passes of a model that end at a block, with the outputs of finished blocks replayed.

A block can then be computed by itself, from the inputs that it has in the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import nn

from rpmask.masks.weights import base_of, block_of, is_matrix

Batches = Sequence[dict[str, torch.Tensor]]
Call = Callable[[], Any]

MERGED_TOKENS = 1 << 14  # of a merged batch, so that a block's inputs stay below a gigabyte


CACHES = ("past_key_values", "past_key_value", "cache")  # arguments of blocks


class Stop(Exception):
    """Ends a forward pass that has reached what it was run for."""


class Passes:
    """Forward passes of one model over the batches, in which finished blocks replay their outputs.

    Where the blocks of a list are a chain, each with the output of the one before as its input, only the
    output of the last finished one is ever read, and all finished blocks return it.

    `blocks` are those that `calls` will be given. Blocks between them are computed once, unchanged, and
    replayed as well.
    """

    def __init__(self, model: nn.Module, batches: Batches, blocks: Collection[str]) -> None:
        self.base, self.batches, self._own = base_of(model), batches, frozenset(blocks)
        self._model = model
        self._index = 0
        self._outputs: dict[str, list[Any]] = {}
        self._finished: set[str] = set()
        self._order: list[str] = []  # the blocks that a pass calls once
        self._chained: set[str] = set()  # blocks whose input is the output of one that is finished
        self._broken: set[str] = set()  # lists that are no chain
        self._replayed: list[nn.Module] = []
        self._cached = getattr(getattr(model, "config", None), "use_cache", None)

    def __enter__(self) -> Passes:
        if self._cached is not None:  # a block that is computed twice would fill the cache twice
            self._model.config.use_cache = False  # type: ignore[union-attr]
        if self.batches and any(_before(block) not in self._own for block in self._own):
            self._order = self._called_once({k: v[:1] for k, v in self.batches[0].items()})
        return self

    def __exit__(self, *_: object) -> None:
        for block in self._replayed:
            del block.forward
        if self._cached is not None:
            self._model.config.use_cache = self._cached  # type: ignore[union-attr]

    def calls(self, name: str) -> list[Call]:
        """For every batch, what computes a block by itself; or else the whole model, where none calls it."""
        for skipped in self._skipped(name):
            outputs = [call() for call in self._calls(skipped) if call is not None]
            if len(outputs) == len(self.batches):
                self.replay(skipped, outputs)
        return [
            partial(self._whole, index) if call is None else call
            for index, call in enumerate(self._calls(name))
        ]

    def _skipped(self, name: str) -> list[str]:
        """Blocks of the list, before this one, that are not among `blocks` and that a pass calls once."""
        before = self._order[: self._order.index(name)] if name in self._order else []
        siblings = name.rpartition(".")[0]
        return [
            block
            for block in before
            if block.rpartition(".")[0] == siblings and block not in self._own | self._finished
        ]

    def _called_once(self, batch: dict[str, torch.Tensor]) -> list[str]:
        """The blocks that a pass calls once, in its order."""
        called: list[str] = []
        handles = [
            module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
            for name, module in self.base.named_modules()
            if name and block_of(f"{name}.weight") == name
        ]
        try:
            self._model(**batch)
        finally:
            for handle in handles:
                handle.remove()
        return [name for name in called if called.count(name) == 1]

    def _calls(self, name: str) -> list[Call | None]:
        """What computes a block, for every batch whose pass calls it."""
        block = self.base.get_submodule(name)

        reached: list[tuple[Any, dict[str, Any]]] = []

        def stop(_: nn.Module, given: Any, named: dict[str, Any]) -> None:
            reached.append((given, named))
            raise Stop

        found: list[Call | None] = []
        for index in range(len(self.batches)):
            reached.clear()
            handle = block.register_forward_pre_hook(stop, with_kwargs=True)
            with suppress(Stop):
                self._whole(index)
            handle.remove()
            if not reached:
                found.append(None)
                continue
            given, named = reached[0]
            # A block that is computed twice would add to a cache twice.
            named |= {key: None for key in CACHES if key in named}
            first = _tensor((*given, *named.values()))
            if any(_tensor(outputs[index]) is first for outputs in self._outputs.values()):
                self._chained.add(name)
            found.append(partial(block, *given, **named))
        return found

    def replay(self, name: str, outputs: list[Any]) -> None:
        """Return these outputs of a finished block from now on, without computing the block."""
        block = self.base.get_submodule(name)
        if isinstance(block, nn.ModuleList):
            return  # it has no forward pass
        siblings, _, number = name.rpartition(".")
        self._finished.add(name)
        if siblings in self._outputs and name not in self._chained:
            self._broken.add(siblings)
        place = siblings if number.isdecimal() and siblings not in self._broken else name
        self._outputs[place] = outputs
        block.forward = lambda *_, **__: self._outputs[place][self._index]
        self._replayed.append(block)

    def _whole(self, index: int) -> Any:
        self._index = index
        return self._model(**self.batches[index])


def _before(block: str) -> str:
    """The block that comes before this one in its list; the first one, and a block of no list, itself."""
    siblings, _, number = block.rpartition(".")
    return f"{siblings}.{max(0, int(number) - 1)}" if number.isdecimal() else block


def _tensor(value: Any) -> Any:
    """The first of several values."""
    return next(iter(value), None) if isinstance(value, tuple) else value


def owner_of(base: nn.Module, name: str) -> Any:
    """The module of a tensor."""
    return base.get_submodule(name.rpartition(".")[0])


def used_together(
    model: nn.Module, names: Sequence[str], batch: dict[str, torch.Tensor]
) -> list[list[str]]:
    """The matrices that a pass uses once, in that order; those with the very same input are in one group."""
    used: list[tuple[str, torch.Tensor]] = []
    base = base_of(model)
    matrices = [name for name in names if is_matrix(owner_of(base, name))]
    with watching(base, matrices, lambda name, given: used.append((name, given))):
        model(**batch)
    times = Counter(name for name, _ in used)
    groups: list[list[str]] = []
    before = None
    for name, given in used:
        if times[name] > 1:
            continue
        if given is before:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = given
    return groups


@contextmanager
def watching(
    base: nn.Module, names: Sequence[str], see: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """Show the inputs of the modules that own these tensors, before they are used."""

    def shown(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda _, inputs: see(name, inputs[0])

    handles = [owner_of(base, name).register_forward_pre_hook(shown(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def inputs_in(call: Call, base: nn.Module, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """The inputs of these matrices in one pass, which ends at the last; without those it does not use."""
    found: dict[str, torch.Tensor] = {}

    def see(name: str, value: torch.Tensor) -> None:
        found[name] = value
        if len(found) == len(names):
            raise Stop

    with watching(base, names, see), suppress(Stop):
        call()
    return found


def merged(batches: Batches) -> list[dict[str, torch.Tensor]]:
    """Neighbouring batches of equal shapes together, up to a limit of tokens."""
    found: list[list[dict[str, torch.Tensor]]] = []
    tokens = 0
    for batch in batches:
        size = _tokens(batch)
        if found and _shapes(found[-1][0]) == _shapes(batch) and tokens + size <= MERGED_TOKENS:
            found[-1].append(batch)
            tokens += size
        else:
            found.append([batch])
            tokens = size
    return [{name: torch.cat([each[name] for each in part]) for name in part[0]} for part in found]


def _tokens(batch: Mapping[str, torch.Tensor]) -> int:
    """Tokens of a batch, or values where it holds images."""
    return max(value.numel() for value in batch.values())


def _shapes(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape[1:] for name, value in batch.items()}
