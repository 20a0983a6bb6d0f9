"""Moves of the `fleet` sampler: each takes configurations and returns new ones in the band.

All are vectorised over rows and take the generator they draw from, whose state can be kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.exact.lower_bound import relaxed
from hdap.search.exact.relaxation import Relaxation
from hdap.search.problem.search_problem import SearchProblem

LIFT_ROUNDS = 6
_MIX = 0x9E3779B97F4A7C15
"""Odd, its bits without pattern: 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)."""


def seeds(problem: SearchProblem, n: int, rng: np.random.Generator) -> Counts:
    """Starting points: uniform pruning itself, and networks scattered around it, near and far."""
    spread = rng.choice([0.1, 0.2, 0.4, 0.7], size=(n, 1))
    noise = rng.normal(size=(n, len(problem.space.levels))) * spread
    counts = problem.repair(problem.uniform * np.exp(noise))
    counts[0] = problem.uniform
    return counts


def priced(problem: SearchProblem) -> Counts:
    """Starting points that the surrogates' own structure gives, repaired into the band.

    What is fastest where FLOPs and kept importance have prices: the multiple-choice knapsack that
    HALP (Shen et al., NeurIPS 2022) solves with layers taken for independent, here with neighbours
    coupled. No rows for surrogates without such a structure.
    """
    relaxation = Relaxation.of(problem)
    if relaxation is None:
        return np.empty((0, len(problem.space.levels)), dtype=np.int64)
    return problem.repair(relaxed(relaxation, problem.fleet.mean, rounds=1).networks)


def scatter(problem: SearchProblem, center: Counts, n: int, rng: np.random.Generator) -> Counts:
    """`n` networks around `center` (`groups`), to start again from."""
    spread = rng.choice([0.15, 0.3, 0.5], size=(n, 1))
    noise = rng.normal(size=(n, len(center))) * spread
    noise *= rng.random(noise.shape) < rng.choice([0.2, 0.5, 1.0], size=(n, 1))
    return problem.repair(center * np.exp(noise))


def crossed(
    problem: SearchProblem, mothers: Counts, fathers: Counts, rng: np.random.Generator
) -> Counts:
    """Each group from one parent or the other: single groups, or a cut in module order."""
    n, groups = mothers.shape
    single = rng.random((n, groups)) < rng.uniform(0.1, 0.6, size=(n, 1))
    place = np.arange(groups)
    ends = np.sort(rng.integers(0, groups + 1, size=(n, 2)), axis=1)
    block = (place >= ends[:, :1]) & (place < ends[:, 1:])
    take = np.where(rng.random((n, 1)) < 0.5, single, block)
    return np.where(take, fathers, mothers)


def stepped(problem: SearchProblem, counts: Counts, rng: np.random.Generator) -> Counts:
    """A few groups of each row moved by up to four grid steps; not yet in the band."""
    n, groups = counts.shape
    chosen = rng.random((n, groups)) < rng.choice([1.0, 2.0, 4.0], size=(n, 1)) / groups
    reach = rng.integers(1, 5, size=(n, groups)) * rng.choice([-1, 1], size=(n, groups))
    index = problem.space.index(counts) + np.where(chosen, reach, 0)
    return problem.space.counts(np.clip(index, 0, problem.space.sizes - 1))


def repaired(problem: SearchProblem, counts: Counts, rng: np.random.Generator) -> Counts:
    """Into the band, a random group making up for the rest: equal FLOPs by another trade."""
    return problem.repair(counts, rng.exponential(size=counts.shape) + 1e-3)


def lifted(problem: SearchProblem, counts: Counts, rng: np.random.Generator) -> Counts:
    """Rows below the floor traded upwards at equal FLOPs.

    Channels go from the group that gives up the least importance per FLOP to the one that gains
    the most; each row may use a random half of its groups, so that rows stay different.
    """
    counts = counts.copy()
    for _ in range(LIFT_ROUNDS):
        rows = np.flatnonzero(problem.violation(counts) > 0.0)
        if not len(rows):
            break
        moved = problem.repair(_trade(problem, counts[rows], rng))
        better = problem.violation(moved) < problem.violation(counts[rows])
        counts[rows[better]] = moved[better]
    return counts


def _trade(problem: SearchProblem, counts: Counts, rng: np.random.Generator) -> Counts:
    space, line = problem.space, np.arange(len(counts))
    index = space.index(counts)
    slopes = np.maximum(problem.repair.slopes(counts), 1e-9)
    worth: list[Floats] = []
    for change in (1, -1):
        other = space.counts(np.clip(index + change, 0, space.sizes - 1))
        gain = problem.importance.log_shares(other) - problem.importance.log_shares(counts)
        flops = slopes * (other - counts)
        each = np.divide(gain, flops, out=np.full(gain.shape, np.nan), where=flops != 0.0)
        each[rng.random(each.shape) < 0.5] = np.nan
        worth.append(each)
    up, down = np.nan_to_num(worth[0], nan=-1.0), np.nan_to_num(worth[1], nan=np.inf)
    gainer, giver = up.argmax(axis=1), down.argmin(axis=1)
    index[line, gainer] = np.minimum(index[line, gainer] + 1, space.sizes[gainer] - 1)
    moved = space.counts(index)
    # What the gainer costs, the giver pays: exact once the repair has followed.
    cost = slopes[line, gainer] * (moved - counts)[line, gainer]
    paid = counts[line, giver] - np.maximum(cost / slopes[line, giver], 1.0)
    moved[line, giver] = np.where(gainer == giver, moved[line, giver], np.rint(paid))
    return np.maximum(moved, 1)


def distinct(counts: Counts) -> Counts:
    """Rows without repeats, in order of first appearance."""
    # Several times faster than numpy's unique rows, which compares them column by column.
    _, first = np.unique(_keys(counts), return_index=True)
    found: Counts = counts[np.sort(first)]
    return found


def among(counts: Counts, others: Counts) -> Bools:
    """Which rows occur in `others`."""
    found: Bools = np.isin(_keys(counts), _keys(others))
    return found


def _keys(counts: Counts) -> Ints:
    """A number for each row: rows that differ share one with probability 2^-64."""
    keys = np.zeros(len(counts), dtype=np.uint64)
    for column in counts.T.astype(np.uint64):
        # Polynomial hashing with a shift, so that high bits reach the low ones.
        keys = (keys ^ (keys >> np.uint64(29)) ^ column) * np.uint64(_MIX)
    return keys.view(np.int64)


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator; its 128-bit integers as text, which no JSON reader rounds."""
    state = dict(rng.bit_generator.state)
    return {**state, "state": {name: str(value) for name, value in state["state"].items()}}


def set_generator_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Inverse of `generator_state`."""
    inner = {name: int(value) for name, value in state["state"].items()}
    rng.bit_generator.state = {**state, "state": inner}
