"""The most that any network can keep within a latency, cluster by cluster, before one is searched.

With a price `p` on the logarithm of kept importance, the least of `latency - p * log kept` over all
allowed networks is `g`, exactly (`Relaxation`). So a network that takes at most L keeps at most
`(L - g) / p`, whatever the price: the Lagrangian bound (Geoffrion, 1974), a concave front made of
lines. Surrogates without that structure are asked for uniform networks instead, whose upper hull is
an estimate and no bound.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, Ints
from hdap.search.exact.relaxation import AdditiveLatency, Relaxation
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.uniform import ladder
from hdap.surrogate.learning.blas_threads import one_blas_thread

PRICES = np.geomspace(0.02, 6.0, 40)
"""Of a factor e of kept importance, in latencies of the dense network: from where an eighth is kept
to where all is, in steps that bring another network each."""
COARSE = PRICES[::5]
"""Enough to say what to expect."""
TANGENTS = 2
"""Taken at each price: the second where the first one's optimum lies."""
CHUNK = 65_536


@dataclass(frozen=True)
class KeptWithin:
    """For each of K clusters P lines: a network that takes L ms keeps at most `slope * L + level`
    (a logarithm), by the lowest of them (`slope`, `level`: K x P), and none more than the `widest`;
    `bound`: so says a proof, and not an estimate."""

    slope: Floats
    level: Floats
    bound: bool
    widest: float

    @classmethod
    def of(cls, problem: SearchProblem, risk: float, prices: Floats = PRICES) -> "KeptWithin":
        """What is in reach of the grid of `problem`, every latency `risk` standard deviations
        above its prediction; more `prices` (P, in dense latencies) are nearer to the truth."""
        plain = replace(problem, risk=risk, floor=0.0, limit_ms=None)
        relaxation = Relaxation.of(plain)
        clusters = range(len(problem.fleet.mean))
        if relaxation is None:
            lines = [_hull(plain, k) for k in clusters]
        else:
            lines = [_priced(relaxation, relaxation.latency, k, prices) for k in clusters]
        most = max(len(slope) for slope, _ in lines)
        # the last line again, until all clusters have as many
        slope, level = (
            np.stack(
                [np.append(own[i], np.repeat(own[i][-1], most - len(own[i]))) for own in lines]
            )
            for i in range(2)
        )
        widest = float(problem.importance.log_kept(problem.space.widest[None])[0])
        return cls(slope, level, relaxation is not None, widest)

    def log_kept(self, cluster: Ints, ms: Floats) -> Floats:
        """At most, within `ms` (D) on the typical device of `cluster` (D): D."""
        found = np.empty(len(ms))
        for first in range(0, len(ms), CHUNK):
            rows = slice(first, first + CHUNK)
            lines = self.slope[cluster[rows]] * ms[rows, None] + self.level[cluster[rows]]
            found[rows] = lines.min(axis=1)
        return np.minimum(found, self.widest)


def _priced(
    relaxation: Relaxation, latency: AdditiveLatency, cluster: int, prices: Floats
) -> tuple[Floats, Floats]:
    problem = relaxation.problem
    shares = np.zeros(len(problem.fleet.mean))
    shares[cluster] = 1.0
    widths = problem.architecture.widths[None]
    dense = float(np.exp(problem.latency.predict(widths).log_ms[0, cluster]))
    slopes, levels = [], []
    with one_blas_thread():
        features = latency.priced(problem.uniform[None])[1][0]
        for price in dense * prices:
            least = -np.inf
            for _ in range(TANGENTS):
                tables = relaxation.tables(latency.tangent(features, shares, problem.risk))
                one = relaxation.least(tables, 0.0, price)
                least = max(least, one.latency_ms - price * one.log_kept)
                features = latency.priced(one.counts[None])[1][0]
            slopes.append(1.0 / price)
            levels.append(-least / price)
    return np.array(slopes), np.array(levels)


def _hull(problem: SearchProblem, cluster: int) -> tuple[Floats, Floats]:
    """The upper hull of uniform networks: slope and level of each of its edges."""
    rows: Counts = ladder(problem.space)
    found = problem.latency.predict(rows)
    ms = np.exp(found.log_ms[:, cluster] + problem.risk * found.log_sd[:, cluster])
    points = np.column_stack([ms, problem.importance.log_kept(rows)])
    try:
        edges = ConvexHull(points).equations if len(points) > 2 else np.empty((0, 3))
    except QhullError:  # all on one line
        edges = np.empty((0, 3))
    # a x + b y + c = 0 with b > 0 lies above; where importance rises with latency a < 0
    upper = edges[(edges[:, 1] > 1e-12) & (edges[:, 0] < 0.0)]
    if not len(upper):
        return np.array([0.0]), np.array([float(points[:, 1].max())])
    return -upper[:, 0] / upper[:, 1], -upper[:, 2] / upper[:, 1]
