"""Varied networks of one predicted latency: uniform, of a shape, drawn, and found by searches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats
from hdap.search.driver.run_search import run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import NARROWEST_SHARE, SearchSpace
from hdap.surrogate.models.base import FleetSurrogate

GRIDS = (4, 8, 16)
OUT_OF_BAND = 0.03
"""A network may be predicted to be so much faster than asked, and no slower."""
SCALES = np.exp(np.linspace(np.log(0.02), np.log(8.0), 2000))
SPREADS = (0.1, 0.9)
"""Standard deviations of the logarithm of the share that a drawn network keeps of a group."""
TILT = 0.4
"""Of the shapes: half of the groups are 1.5 times as wide as in a uniform network, or 1 / 1.5."""
TRIALS = 300
RULE = 0.5
"""Least width of some searches, of uniform's share."""


@dataclass(frozen=True)
class Point:
    """A latency that all networks of a place are brought to."""

    architecture: Architecture
    latency: FleetSurrogate
    fleet: FleetWeights
    target_ms: float

    @classmethod
    def at(
        cls, share: float, architecture: Architecture, latency: FleetSurrogate, fleet: FleetWeights
    ) -> "Point":
        """What uniform pruning in multiples of 8 takes at `share` of the dense FLOPs."""
        grid = SearchSpace.build(architecture, 8)
        rows = grid.snap(SCALES[:, None] * architecture.widths)
        dense = flops(architecture, architecture.widths[None])[0]
        widest = rows[np.flatnonzero(flops(architecture, rows) <= share * dense).max()]
        return cls(architecture, latency, fleet, float(latency.predict(widest[None]).ms[0, 0]))

    def widest(self, shape: Floats, step: int) -> Counts | None:
        """The widest network of a shape (`groups` logarithms of shares) that is fast enough; None
        where that is much faster than asked."""
        space = SearchSpace.build(self.architecture, step, min_share=NARROWEST_SHARE)
        shares = np.minimum(SCALES[:, None] * np.exp(shape - shape.max()), 1.0)
        rows = np.unique(space.snap(shares * self.architecture.widths), axis=0)
        ms = self.latency.predict(rows).ms[:, 0]
        fits = np.flatnonzero(ms <= self.target_ms)
        if not len(fits):
            return None
        best = fits[ms[fits].argmax()]
        found: Counts = rows[best]
        return found if ms[best] >= (1.0 - OUT_OF_BAND) * self.target_ms else None


def varied(
    point: Point, curves: dict[str, Sequence[Floats]], count: int, seed: int
) -> dict[str, Counts]:
    """`count` different networks by name; `curves` are those of l2 and Taylor importance."""
    named = {**_uniform(point), **_shaped(point), **_found(point, curves, seed)}
    rng = np.random.default_rng(seed)
    groups, number = len(point.architecture.groups), 0
    chosen: dict[bytes, tuple[str, Counts]] = {}
    for name, counts in named.items():
        chosen.setdefault(counts.tobytes(), (name, counts))
    while len(chosen) < count:
        number += 1
        shape = rng.uniform(*SPREADS) * rng.standard_normal(groups)
        drawn = point.widest(shape, int(rng.choice(GRIDS[:2])))
        if drawn is not None:
            chosen.setdefault(drawn.tobytes(), (f"drawn {number}", drawn))
    return dict(list(chosen.values())[:count])


def _uniform(point: Point) -> dict[str, Counts]:
    flat = np.zeros(len(point.architecture.groups))
    found = {f"uniform-{step}": point.widest(flat, step) for step in GRIDS}
    return {name: counts for name, counts in found.items() if counts is not None}


def _shaped(point: Point) -> dict[str, Counts]:
    """A trunk is a group that more layers read and write than most: of a residual network."""
    sides = PROXIES["layers"].weights(point.architecture)
    trunk = np.where(sides > 1.0, 0.5, -0.5)
    late = np.linspace(-0.5, 0.5, len(sides))
    shapes = {"trunk wide": trunk, "trunk narrow": -trunk, "late wide": late, "early wide": -late}
    found = {name: point.widest(2.0 * TILT * shape, 4) for name, shape in shapes.items()}
    return {name: counts for name, counts in found.items() if counts is not None}


def _found(point: Point, curves: dict[str, Sequence[Floats]], seed: int) -> dict[str, Counts]:
    """The most of each kind of kept importance within the latency."""
    architecture = point.architecture
    channels = Importance.by_channels(architecture)
    known = {name: Importance(name, tuple(own)) for name, own in curves.items()}
    uniform = point.widest(np.zeros(len(architecture.groups)), point.latency.step)
    rule = RULE * float((uniform / architecture.widths).min()) if uniform is not None else 0.125
    asked = {f"l2 {proxy}": (known["l2"], proxy, NARROWEST_SHARE) for proxy in PROXIES} | {
        "channels layers": (channels, "layers", NARROWEST_SHARE),
        "l2 log-mean, rule": (known["l2"], "log-mean", rule),
        "taylor mean": (known["taylor"], "mean", NARROWEST_SHARE),
    }
    found = {}
    for name, (importance, proxy, least) in asked.items():
        problem = _problem(point, importance.with_proxy(PROXIES[proxy], architecture), least)
        trials = run_search(problem, trials=TRIALS, seed=seed).trials
        if trials is not None and trials.feasible.any():
            rank = np.where(trials.feasible, trials.kept_importance, -np.inf)
            found[f"most {name}"] = trials.counts[rank.argmax()]
    return found


def _problem(point: Point, importance: Importance, least: float) -> SearchProblem:
    space = SearchSpace.build(point.architecture, min(point.latency.step, 8), min_share=least)
    bounds = flops(point.architecture, np.stack([space.smallest, point.architecture.widths]))
    return SearchProblem.build(
        space,
        FlopsBand(int(bounds[0]), int(bounds[1])),
        point.latency,
        point.fleet,
        importance,
        floor=0.0,
        risk=0.0,
        limit_ms=point.target_ms,
    )
