"""Draw masks from recipes and weights. The same recipe gives the same mask on any machine, in any order.

The outer loop runs over tensors, so that memory is bounded by the largest one, and what candidates
share (importance, its histogram, the clock, the certain weights) is computed once for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from rpmask.errors import RpmaskError
from rpmask.masks.arrays import Bools, Scores
from rpmask.masks.banks import plan_banks
from rpmask.masks.mask import Bits, Mask
from rpmask.masks.tiling import Bank
from rpmask.masks.weights import Prunable, WeightSource
from rpmask.randomized_masks.allocation import allocate, needs_histograms, share_rows
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
from rpmask.randomized_masks.row_votes import draw_in_rows
from rpmask.randomized_masks.twins import exchange, exchange_in_groups
from rpmask.randomized_masks.vote_sampler import VoteSampler
from rpmask.records import MaskRecipe

MAX_THREADS = 4  # each holds a tensor: more would cost much memory for little time

Item = TypeVar("Item")
Result = TypeVar("Result")


def draw_mask(
    recipe: MaskRecipe,
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics] | None = None,
    parent: Mask | None = None,
) -> Mask:
    """Draw, or redraw, the mask of one recipe."""
    return draw_masks([recipe], source, tensors, statistics=statistics, parent=parent)[0]


def draw_masks(
    recipes: Sequence[MaskRecipe],
    source: WeightSource,
    tensors: Sequence[Prunable],
    *,
    statistics: Mapping[str, Statistics] | None = None,
    parent: Mask | None = None,
    threads: int | None = None,
) -> list[Mask]:
    """Draw the masks of several recipes over the same weights, and verify those weights by digest.

    `tensors` are all that may be pruned, which the recipes' weights_digest identifies; `statistics` are
    keyed by importance. The number of threads changes the time and nothing else.
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
        for drawn in _draw_banks(alike, banks, reader, threads):
            for number, found in zip(numbers, drawn, strict=True):
                bits[number].update(found)
    # The weights' digest also covers the tensors that the granularities leave dense.
    unread = [tensor for tensor in tensors if tensor.name not in reader.digests]
    for _ in _map(lambda tensor: reader.load(tensor).numel(), unread, threads):
        pass
    check_weights(recipes, reader.digests, tensors)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    return [Mask(found, {name: shapes[name] for name in found}) for found in bits]


def _draw_banks(
    recipes: Sequence[MaskRecipe], banks: Sequence[Bank], reader: UnitReader, threads: int | None
) -> Iterator[list[dict[str, Bits]]]:
    """Bank by bank, the packed bits of every recipe."""
    counts = _unit_counts(recipes, banks, reader, threads)
    kinds = sorted({recipe.importance for recipe in recipes})

    def draw(bank: Bank) -> list[dict[str, Bits]]:
        sampler = _BankSampler(bank, reader.scores(bank, kinds), reader.allowed(bank))
        return [
            sampler.draw(recipe, kept[bank.name])
            for recipe, kept in zip(recipes, counts, strict=True)
        ]

    return _map(draw, banks, threads)


class _BankSampler:
    """Draws one bank's units, once for each recipe."""

    def __init__(self, bank: Bank, scores: dict[str, Scores], allowed: Bools | None) -> None:
        self._bank = bank
        self._scores = scores
        self._allowed = allowed
        self._places = None if allowed is None else np.flatnonzero(allowed)
        self._samplers: dict[str, VoteSampler] = {}

    def draw(self, recipe: MaskRecipe, kept: int) -> dict[str, Bits]:
        """Packed bits of the bank's tensors, with `kept` of its units kept."""
        bank = self._bank
        votes = votes_of(recipe, bank.units * bank.unit_weights, kept * bank.unit_weights)
        random = stream(recipe.seed, bank.name)
        if bank.group is None and recipe.allocation < 0.0:
            keep = self._draw_rows(recipe, kept, votes, random)
        elif bank.group is None:
            keep = self._draw_units(recipe, kept, votes, random)
        else:
            keep = self._draw_groups(recipe, bank.group, votes, random)
        return {name: np.packbits(bools.reshape(-1)) for name, bools in bank.spread(keep).items()}

    def _draw_units(
        self, recipe: MaskRecipe, kept: int, votes: int, random: np.random.Generator
    ) -> Bools:
        scores = self._scores[recipe.importance]
        sampler = self._samplers.get(recipe.importance)
        if sampler is None:
            sampler = VoteSampler(scores if self._places is None else scores[self._places])
            self._samplers[recipe.importance] = sampler
        keep = sampler.draw(kept, recipe.temperature, votes, random)
        if self._places is not None:
            drawn, keep = keep, np.zeros(self._bank.units, dtype=np.bool_)
            keep[self._places] = drawn
        if recipe.swapped:
            keep = exchange(keep, scores, recipe.swapped, self._twin_stream(recipe), self._allowed)
        return keep

    def _draw_rows(
        self, recipe: MaskRecipe, kept: int, votes: int, random: np.random.Generator
    ) -> Bools:
        scores = self._scores[recipe.importance].reshape(self._bank.rows, -1)
        allowed = None if self._allowed is None else self._allowed.reshape(scores.shape)
        free = np.ones(scores.shape, np.bool_) if allowed is None else allowed
        if recipe.substeps > 1:  # zero stands for dropped
            free = free & (scores > 0)
        counts = share_rows(kept, np.count_nonzero(free, axis=1))
        keep = draw_in_rows(scores, counts, recipe.temperature, votes, random, allowed)
        if recipe.swapped:
            random = self._twin_stream(recipe)
            for row, values in enumerate(scores):
                its = None if allowed is None else allowed[row]
                keep[row] = exchange(keep[row], values, recipe.swapped, random, its)
        return keep.reshape(-1)

    def _draw_groups(
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
            random = self._twin_stream(recipe)
            keep = exchange_in_groups(keep, scores, recipe.swapped, random, allowed)
        return keep.reshape(-1)

    def _twin_stream(self, recipe: MaskRecipe) -> np.random.Generator:
        return stream(recipe.seed, f"{self._bank.name}/twin {recipe.twin}")


def _unit_counts(
    recipes: Sequence[MaskRecipe], banks: Sequence[Bank], reader: UnitReader, threads: int | None
) -> list[dict[str, int]]:
    """How many units each recipe keeps of each bank, by the bank's name."""
    sizes = {bank.name: bank.units for bank in banks}
    limits = sizes
    if reader.parent is not None:
        limits = {
            bank.name: bank.units if allowed is None else int(np.count_nonzero(allowed))
            for bank, allowed in zip(banks, _map(reader.allowed, banks, threads), strict=True)
        }
    cut = {kind for kind, given in reader.statistics.items() if given.substeps > 1}
    kinds = sorted(
        {r.importance for r in recipes if needs_histograms(r.allocation) or r.importance in cut}
    )

    def count(bank: Bank) -> dict[str, Histogram]:
        allowed = reader.allowed(bank)
        return {
            kind: Histogram.of(scores if allowed is None else scores[allowed])
            for kind, scores in reader.scores(bank, kinds).items()
        }

    histograms: dict[str, dict[str, Histogram]] = {kind: {} for kind in kinds}
    for bank, found in zip(banks, _map(count, banks if kinds else [], threads), strict=False):
        for kind, histogram in found.items():
            histograms[kind][bank.name] = histogram

    def most(recipe: MaskRecipe) -> dict[str, int]:
        """Units that a mask may keep: after sub-steps, those that the last but one kept."""
        if recipe.importance not in cut:
            return limits
        return {name: found.positive for name, found in histograms[recipe.importance].items()}

    return [
        {bank.name: bank.units * bank.group[0] // bank.group[1] for bank in banks if bank.group}
        or allocate(
            sizes,
            recipe.sparsity,
            allocation=recipe.allocation,
            floor=recipe.floor,
            limits=most(recipe),
            histograms=histograms.get(recipe.importance),
        )
        for recipe in recipes
    ]


def _map(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int | None
) -> Iterator[Result]:
    """Map in order, with at most as many items in progress as there are threads."""
    threads = min(threads or min(MAX_THREADS, os.cpu_count() or 1), max(1, len(items)))
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)
