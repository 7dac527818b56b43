"""The vote sampler for one tensor: m draws of k weights, then keep the k weights drawn most often.

Two methods give the same distribution. With few undecided weights, or one draw, the draws are made by
exponential clocks. Otherwise one pass suffices: in a large tensor the votes for weight i are
Binomial(m, q_i), nearly independent, so comparing one uniform number with the binomial's tail says on which
side of the cut a weight's votes fall. Certain weights cost no random number in either method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betainccinv, betaincinv

from rpmask.masks.arrays import Bools, Floats, Scores
from rpmask.randomized_masks.draws import pick, tally_draws, top_k
from rpmask.randomized_masks.keep_probability import SHIFT, SURE, Clock, Histogram, solve_clock

WRONG_DECISION = (
    1e-12  # per-weight probability of deciding a weight wrongly without counting its votes
)
EXACT = 1 << 20  # at most this many clocks are drawn per mask; above it, one pass
FEW = 512  # undecided weights below which votes are not independent, so draws are made
STEPS = 1 << 15  # steps of importance inside a window, each far finer than votes can distinguish
NODE = 16  # steps between computed values of a tail, which is linear in between


class VoteSampler:
    """Draws masks of one flat tensor; what they share is computed once."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._bits = scores.view(np.uint32)
        self._clocks: dict[tuple[int, float], Clock] = {}
        self._windows: dict[tuple[int, float, int], _Window] = {}

    @cached_property
    def _histogram(self) -> Histogram:
        return Histogram.of(self._scores)

    def draw(self, kept: int, temperature: float, votes: int, random: np.random.Generator) -> Bools:
        """One mask of exactly `kept` weights; weights of zero importance only if the rest are too few."""
        if kept <= 0 or kept >= self._scores.size:
            return np.full(self._scores.size, kept > 0)
        if kept >= self._histogram.positive:
            keep = self._scores > 0
            others = np.flatnonzero(~keep)
            keep[others[pick(others.size, kept - self._histogram.positive, random)]] = True
            return keep
        if temperature == 0.0:
            return self._largest(kept, random)
        clock = self._clocks.get((kept, temperature))
        if clock is None:
            clock = solve_clock(self._histogram, kept, temperature)
            self._clocks[kept, temperature] = clock
        rates = clock.log_rate(self._histogram.log_centres)
        low, high = int(np.searchsorted(rates, -SURE)), int(np.searchsorted(rates, np.log(SURE)))
        undecided = int(self._histogram.counts[low:high].sum())
        if votes == 1 or undecided <= FEW or undecided * votes <= EXACT:
            return self._by_clocks(kept, clock, votes, self._edge(low), self._edge(high), random)
        return self._in_one_pass(kept, temperature, clock, votes, random)

    def _edge(self, at: int) -> int:
        """The float bits at which bin number `at` begins; zero importance lies below all bins."""
        bins = self._histogram.bins
        return max(1, int(bins[at] if at < bins.size else bins[-1] + 1) << SHIFT)

    def _between(self, low: int, high: int) -> NDArray[np.intp]:
        """Which weights have their bits in [low, high); below low, the unsigned difference wraps around."""
        return np.flatnonzero(self._bits - np.uint32(low) < np.uint32(high - low))

    @cached_property
    def _reached(self) -> NDArray[np.int64]:
        """How many weights lie in each bin or below it, (bins,)."""
        return np.cumsum(self._histogram.counts)

    def _bin_ranked(self, kept: int) -> int:
        """The number of the bin that holds the weight of rank `kept`."""
        return int(np.searchsorted(self._reached, self._histogram.positive - kept, side="right"))

    def _largest(self, kept: int, random: np.random.Generator) -> Bools:
        """The deterministic mask; only the bin at the cut has to be sorted."""
        ranked = self._bin_ranked(kept)
        low, high = self._edge(ranked), self._edge(ranked + 1)
        keep = self._bits >= np.uint32(high)
        at_cut = self._between(low, high)
        wanted = kept - int(np.count_nonzero(keep))
        keep[at_cut] = top_k(self._scores[at_cut], wanted, random)
        return keep

    def _by_clocks(
        self,
        kept: int,
        clock: Clock,
        votes: int,
        low: int,
        high: int,
        random: np.random.Generator,
    ) -> Bools:
        """The paper's m draws, over the weights that a draw may or may not take."""
        keep = self._bits >= np.uint32(high)
        undecided = self._between(low, high)
        wanted = kept - int(np.count_nonzero(keep))
        log_rates = clock.log_rate(np.log(self._scores[undecided].astype(np.float64)))
        tally = tally_draws(log_rates, wanted, votes, random)
        keep[undecided] = top_k(tally, wanted, random)
        return keep

    def _in_one_pass(
        self,
        kept: int,
        temperature: float,
        clock: Clock,
        votes: int,
        random: np.random.Generator,
    ) -> Bools:
        """Binomial votes for the weights whose votes may fall on either side of the cut."""
        key = (kept, temperature, votes)
        for slack in (1, 4, None):  # nearly always the first
            window = self._windows.get(key) if slack == 1 else None
            if window is None:
                window = self._window(kept, clock, votes, slack)
                if slack == 1:
                    self._windows[key] = window
            chosen = window.draw(kept, random)
            if chosen is not None:
                keep = window.certain.copy()
                keep[window.undecided[chosen]] = True
                return keep
        raise AssertionError("a window over every weight contains every cut")

    def _window(self, kept: int, clock: Clock, votes: int, slack: int | None) -> _Window:
        """Find the weights whose votes are not certainly below, or above, every possible cut.

        The cut lies within `slack` standard deviations of the votes for the weight ranked `kept`.
        Windows begin and end at bins, so that the same weights are undecided on every machine, whatever
        the last bit of its logarithms.
        """
        chances = clock.probability(self._histogram.log_centres)  # (bins,) rising
        chance = float(chances[self._bin_ranked(kept)])
        cut = min(max(round(votes * chance), 1), votes - 1)
        if slack is None:
            low, high, first, last = 1, self._edge(chances.size), 0, votes
        else:
            spread = slack * (1 + int(np.ceil(np.sqrt(votes * chance * (1.0 - chance)))))
            first, last = max(1, cut - spread), min(votes - 1, cut + spread)
            dropped = betaincinv(first, votes - first + 1, WRONG_DECISION)
            taken = betainccinv(last + 1, votes - last, WRONG_DECISION)
            # One more bin on each side, because a bin's weights spread around its middle.
            low = self._edge(max(int(np.searchsorted(chances, dropped)) - 1, 0))
            high = self._edge(int(np.searchsorted(chances, taken, side="right")) + 1)
        undecided = self._between(low, high)
        shift = max(0, ((high - low - 1) // STEPS).bit_length())
        steps = ((self._bits[undecided] - np.uint32(low)) >> np.uint32(shift)).astype(np.intp)
        last_step = (high - low - 1) >> shift
        nodes = np.arange(0, last_step + NODE, NODE, dtype=np.int64)
        middles = np.minimum(low + (nodes << shift) + ((1 << shift) >> 1), high - 1)
        logs = np.log(middles.astype(np.uint32).view(np.float32).astype(np.float64))
        certain = self._bits >= np.uint32(high)
        return _Window(
            certain=certain,
            certain_count=int(np.count_nonzero(certain)),
            undecided=undecided,
            steps=steps,
            chances=clock.probability(logs),
            votes=votes,
            cuts=(first, last),
            cut=cut,
        )


@dataclass(eq=False)
class _Window:
    """The weights of a tensor that m binomial votes leave undecided, and where the cut may lie."""

    certain: Bools  # (weights,) certainly kept
    certain_count: int
    undecided: NDArray[np.intp]  # (undecided,)
    steps: NDArray[np.intp]  # (undecided,) step of importance
    chances: Floats  # (nodes,) q in the middle of every NODE-th step
    votes: int
    cuts: tuple[int, int]
    cut: int  # the last mask's cut; the next one is near it
    tails: dict[int, Floats] = field(default_factory=dict)  # by votes, (steps,)

    def draw(self, kept: int, random: np.random.Generator) -> NDArray[np.intp] | None:
        """Which undecided weights are kept; None if the cut falls outside this window."""
        wanted = kept - self.certain_count
        uniform = random.random(self.undecided.size)
        cut, first, last = self.cut, *self.cuts
        reached, passed = self._reaching(cut, uniform), self._reaching(cut + 1, uniform)
        while np.count_nonzero(reached) < wanted:
            cut, passed = cut - 1, reached
            if cut < first:
                return None
            reached = self._reaching(cut, uniform)
        while np.count_nonzero(passed) >= wanted:
            cut, reached = cut + 1, passed
            if cut > last:
                return None
            passed = self._reaching(cut + 1, uniform)
        self.cut = cut
        ties = np.flatnonzero(reached ^ passed)
        chosen = pick(ties.size, wanted - int(np.count_nonzero(passed)), random)
        return np.concatenate([np.flatnonzero(passed), ties[chosen]])

    def _reaching(self, votes: int, uniform: Floats) -> Bools:
        """Which undecided weights get at least `votes` votes: their uniform lies under the tail."""
        tail = self.tails.get(votes)
        if tail is None:
            tail = self._tail(votes)
            self.tails[votes] = tail
        return uniform < tail[self.steps]

    def _tail(self, votes: int) -> Floats:
        """Probability of at least `votes` votes, (steps,)."""
        nodes = self.chances.size
        if votes < 1 or votes > self.votes:
            return np.full(nodes * NODE, float(votes < 1))
        # P(Binomial(m, q) >= c) is the incomplete beta function I_q(c, m - c + 1).
        known = betainc(votes, self.votes - votes + 1, self.chances)
        return np.interp(np.arange(nodes * NODE), np.arange(nodes) * NODE, known)
