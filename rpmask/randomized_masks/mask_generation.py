"""Recipe + weights -> mask. The same recipe gives the same mask on any machine, in any order.

The outer loop runs over tensors, so that memory is bounded by the largest one, and what candidates
have in common (importance, its histogram, the clock, what is settled) is computed once for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.masks.arrays import Bools, Scores
from rpmask.masks.granularity import plan_banks
from rpmask.masks.mask import Bits, Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, WeightSource
from rpmask.randomized_masks.allocation import allocate
from rpmask.randomized_masks.group_votes import draw_in_groups
from rpmask.randomized_masks.importance import Statistics, UnitReader
from rpmask.randomized_masks.keep_probability import Histogram
from rpmask.randomized_masks.recipe import (
    check_inputs,
    check_parent,
    check_recipe,
    check_weights,
    stream,
    votes_of,
)
from rpmask.randomized_masks.twins import exchange, exchange_in_groups
from rpmask.randomized_masks.vote_sampler import VoteSampler
from rpmask.records import MaskRecipe

MOST_THREADS = 4  # each holds a tensor: more would trade memory for little

Item = TypeVar("Item")
Result = TypeVar("Result")


def draw_mask(
    recipe: MaskRecipe,
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics] | None = None,
    parent: Mask | None = None,
    threads: int | None = None,
) -> Mask:
    """Draw, or redraw, the mask of one recipe."""
    return draw_masks(
        [recipe], source, tensors, statistics=statistics, parent=parent, threads=threads
    )[0]


def draw_masks(
    recipes: Sequence[MaskRecipe],
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics] | None = None,
    parent: Mask | None = None,
    threads: int | None = None,
) -> list[Mask]:
    """Draw the masks of several recipes over the same weights, and check that they are those weights.

    `tensors` are all that may be pruned, the ones the recipes' weights_digest identifies;
    `statistics` are by importance kind. `threads` change the time and nothing else.
    """
    statistics = statistics or {}
    by_granularity: dict[str, list[int]] = {}
    for number, recipe in enumerate(recipes):
        check_recipe(recipe)
        check_inputs(recipe, statistics, parent)
        by_granularity.setdefault(recipe.granularity, []).append(number)
    reader = UnitReader(source, statistics, parent)
    bits: list[dict[str, Bits]] = [{} for _ in recipes]
    for granularity, numbers in by_granularity.items():
        alike = [recipes[number] for number in numbers]
        banks = plan_banks(granularity, tensors)
        if parent is not None:
            check_parent(parent, banks)
        for drawn in _drawn(alike, banks, reader, threads):
            for number, found in zip(numbers, drawn, strict=True):
                bits[number].update(found)
    # Tensors the granularities leave alone belong to the weights all the same.
    unread = [tensor for tensor in tensors if tensor.name not in reader.digests]
    for _ in _each(lambda tensor: reader.load(tensor).numel(), unread, threads):
        pass
    check_weights(recipes, reader.digests, tensors)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    return [Mask(found, {name: shapes[name] for name in found}) for found in bits]


def _drawn(
    recipes: Sequence[MaskRecipe], banks: Sequence[Bank], reader: UnitReader, threads: int | None
) -> Iterator[list[dict[str, Bits]]]:
    """Bank by bank, the packed bits of every recipe."""
    counts = _unit_counts(recipes, banks, reader, threads)
    kinds = sorted({recipe.importance for recipe in recipes})

    def draw(bank: Bank) -> list[dict[str, Bits]]:
        drawing = _BankDrawing(bank, reader.scores(bank, kinds), reader.allowed(bank))
        return [
            drawing.bits(recipe, kept[bank.name])
            for recipe, kept in zip(recipes, counts, strict=True)
        ]

    return _each(draw, banks, threads)


class _BankDrawing:
    """One bank's units, drawn once for each recipe."""

    def __init__(self, bank: Bank, scores: dict[str, Scores], allowed: Bools | None) -> None:
        self._bank = bank
        self._scores = scores
        self._allowed = allowed
        self._places = None if allowed is None else np.flatnonzero(allowed)
        self._samplers: dict[str, VoteSampler] = {}

    def bits(self, recipe: MaskRecipe, kept: int) -> dict[str, Bits]:
        """Packed bits of the bank's tensors, `kept` of its units being kept."""
        each = self._bank.unit_weights
        votes = votes_of(recipe, self._bank.units * each, kept * each)
        random = stream(recipe.seed, self._bank.name)
        keep = (
            self._units(recipe, kept, votes, random)
            if self._bank.group is None
            else self._groups(recipe, self._bank.group, votes, random)
        )
        return {
            name: np.packbits(bools.reshape(-1)) for name, bools in self._bank.spread(keep).items()
        }

    def _units(
        self, recipe: MaskRecipe, kept: int, votes: int, random: np.random.Generator
    ) -> Bools:
        sampler = self._samplers.get(recipe.importance)
        if sampler is None:
            scores = self._scores[recipe.importance]
            sampler = VoteSampler(scores if self._places is None else scores[self._places])
            self._samplers[recipe.importance] = sampler
        keep = sampler.draw(kept, recipe.temperature, votes, random)
        if self._places is not None:
            drawn, keep = keep, np.zeros(self._bank.units, dtype=np.bool_)
            keep[self._places] = drawn
        if not recipe.swapped:
            return keep
        scores = self._scores[recipe.importance]
        return exchange(keep, scores, recipe.swapped, self._twin(recipe), self._allowed)

    def _twin(self, recipe: MaskRecipe) -> np.random.Generator:
        return stream(recipe.seed, f"{self._bank.name}/twin {recipe.twin}")

    def _groups(
        self,
        recipe: MaskRecipe,
        group: tuple[int, int],
        votes: int,
        random: np.random.Generator,
    ) -> Bools:
        kept, size = group
        allowed = None if self._allowed is None else self._allowed.reshape(-1, size)
        if allowed is not None and int(allowed.sum(axis=1).min()) < kept:
            raise RpmaskError(
                f"The parent mask leaves fewer than {kept} weights in some group of {size} "
                f"of '{self._bank.name}'.",
                "An n:m mask needs a parent that keeps at least as many of every group.",
            )
        scores = self._scores[recipe.importance].reshape(-1, size)
        keep = draw_in_groups(scores, kept, recipe.temperature, votes, random, allowed=allowed)
        if recipe.swapped:
            keep = exchange_in_groups(keep, scores, recipe.swapped, self._twin(recipe), allowed)
        return keep.reshape(-1)


def _unit_counts(
    recipes: Sequence[MaskRecipe], banks: Sequence[Bank], reader: UnitReader, threads: int | None
) -> list[dict[str, int]]:
    """How many units each recipe keeps of each bank, by the bank's name."""
    sizes = {bank.name: bank.units for bank in banks}
    kinds = sorted({recipe.importance for recipe in recipes if recipe.allocation > 0.0})
    limits = None
    if reader.parent is not None:
        limits = {
            bank.name: bank.units if allowed is None else int(np.count_nonzero(allowed))
            for bank, allowed in zip(banks, _each(reader.allowed, banks, threads), strict=True)
        }

    def count(bank: Bank) -> dict[str, Histogram]:
        allowed = reader.allowed(bank)
        return {
            kind: Histogram.of(scores if allowed is None else scores[allowed])
            for kind, scores in reader.scores(bank, kinds).items()
        }

    histograms: dict[str, dict[str, Histogram]] = {kind: {} for kind in kinds}
    for bank, found in zip(banks, _each(count, banks if kinds else [], threads), strict=False):
        for kind, histogram in found.items():
            histograms[kind][bank.name] = histogram
    return [
        {bank.name: bank.units * bank.group[0] // bank.group[1] for bank in banks if bank.group}
        or allocate(
            sizes,
            recipe.sparsity,
            allocation=recipe.allocation,
            floor=recipe.floor,
            limits=limits,
            histograms=histograms.get(recipe.importance),
        )
        for recipe in recipes
    ]


def _each(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int | None
) -> Iterator[Result]:
    """Map in order; no more items are begun than there are threads."""
    threads = min(threads or min(MOST_THREADS, os.cpu_count() or 1), max(1, len(items)))
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)
