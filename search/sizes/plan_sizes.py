"""One network for a deadline, or several: how much each further one lets the fleet keep.

Devices are lined up by the most that each could keep in time. Who can run a network can run every
smaller one, so the best groups are neighbours on that line (`best_parts`), and a group gets the
network that its slowest devices run in time. The line is a bound where the surrogates give one, so
it also says how far any plan is from the best possible.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import kept as kept_words
from hdap.fleet_data.wording import latency, percent
from hdap.search.exact.best_parts import best_parts
from hdap.search.problem.defaults import MOST_NETWORKS, NETWORK_COST
from hdap.search.sizes.assignment import Assignment, assign
from hdap.search.sizes.group_network import group_network
from hdap.search.sizes.kept_within import PRICES, KeptWithin
from hdap.search.sizes.sizes_problem import SizesProblem

PLACES = 384
"""Neighbourhoods of devices that are kept apart where a line is cut; equal in weight."""


@dataclass(frozen=True)
class DeviceLine:
    """The devices by the most importance that each could keep in time, most first.

    `order` (D) are devices; `place` (D, in that order) the neighbourhood of each; `weight` (P) and
    `at_most` (P: of its fastest device) are of neighbourhoods. The last devices have no `place`:
    they are given up as late. `bound` says that `at_most` is proved.
    """

    order: Ints
    place: Ints
    weight: Floats
    at_most: Floats
    bound: bool

    @property
    def each_its_own(self) -> float:
        """Kept importance of the average device if every one had a network of its own, at most."""
        return float(self.weight @ self.at_most)

    def parts(self, networks: int) -> list[tuple[int, int]]:
        """The best neighbourhoods of neighbourhoods, `(first, end)`, for so many networks."""
        return best_parts(self.weight, self.at_most, networks)

    def at_most_with(self, networks: int) -> float:
        """Kept importance of the average device with so many networks, at most."""
        parts = self.parts(networks)
        return sum(float(self.weight[a:b].sum() * self.at_most[b - 1]) for a, b in parts)


@dataclass(frozen=True)
class Sizing:
    """The fleet on so many networks, all of it predicted.

    `rows` are the networks (of `Sizes.counts`), the one that keeps most first; `weights` the share
    of the fleet on each. `quality` is the kept importance of the average device, at most `at_most`
    with so many networks; `in_time` the share of the fleet that is in time with the confidence
    asked for, `expected_in_time` what is expected of it.
    """

    rows: Ints
    weights: Floats
    quality: float
    at_most: float
    in_time: float
    expected_in_time: float

    @property
    def networks(self) -> int:
        """How many."""
        return len(self.rows)


@dataclass(frozen=True)
class Sizes:
    """What so many networks let the fleet keep: `sizings` by number of networks.

    `counts` (`m x groups`) and `kept` (m) are all networks; `each_its_own` is what one network a
    device would keep at most (`bound`: proved; else estimated); `advised` is the number of networks
    where one more no longer brings `cost`, or what was asked for.
    """

    counts: Counts
    kept: Floats
    sizings: tuple[Sizing, ...]
    assignments: tuple[Assignment, ...]
    each_its_own: float
    bound: bool
    advised: int
    cost: float

    @property
    def chosen(self) -> Sizing:
        """The sizing that is advised."""
        return self.sizings[self.place]

    @property
    def place(self) -> int:
        """Where it is among `sizings`."""
        return next(i for i, s in enumerate(self.sizings) if s.networks == self.advised)

    @property
    def assignment(self) -> Assignment:
        """Who runs which network, by rows of `counts`."""
        return self.assignments[self.place]

    def recovered(self, sizing: Sizing) -> float:
        """Of what a network for each device would bring over one for all, the share that so many
        bring; NaN where nothing is to be won."""
        one = self.sizings[0].quality
        whole = self.each_its_own - one
        return (sizing.quality - one) / whole if whole > 1e-6 else float("nan")

    @property
    def words(self) -> str:
        """The advice in a sentence."""
        one, best = self.sizings[0], self.chosen
        own = f"{'at most' if self.bound else 'about'} {kept_words(self.each_its_own)}"
        if best.networks == 1:
            more = self.sizings[1].quality - one.quality if len(self.sizings) > 1 else 0.0
            told = f"one network keeps {kept_words(one.quality)} on every device"
            return f"{told}; a second would bring {more:.3f}, less than its price of {self.cost:g}"
        told = (
            f"{best.networks} networks keep {kept_words(best.quality)} on the average device where "
            f"one for all keeps {kept_words(one.quality)} and one a device {own}: "
            f"{percent(self.recovered(best), 0)} of what sizes can bring"
        )
        after = self.sizings[self.place + 1] if self.place + 1 < len(self.sizings) else None
        if after is None:
            return told
        return f"{told}; one more would bring {after.quality - best.quality:.3f}"


def line_up(asked: SizesProblem, prices: Floats = PRICES) -> DeviceLine:
    """Line up the devices; `prices` as for `KeptWithin.of`.

    Raises InfeasibleError where too many can run no allowed network.
    """
    devices, networks = asked.devices, asked.networks
    reach = KeptWithin.of(networks, asked.certain, prices)
    allowed_ms = asked.deadline_ms * np.exp(-asked.log_factor)
    most = reach.log_kept(devices.cluster, allowed_ms)
    hopeless = (allowed_ms < asked.quickest_ms[devices.cluster]) | (most < networks.log_floor)
    most = np.where(hopeless, -np.inf, most)
    order = np.argsort(-most, kind="stable")
    total = np.cumsum(devices.weight[order])
    # as few as keep the share: who is given up is late with any network
    served = min(int((total < asked.share - 1e-9).sum()) + 1, len(order))
    if hopeless[order[served - 1]]:
        raise InfeasibleError(_hopeless(asked, float(devices.weight[hopeless].sum())))
    middle = total[:served] - devices.weight[order[:served]] / 2.0
    place = (middle / total[served - 1] * PLACES).astype(np.int64).clip(0, PLACES - 1)
    place = np.arange(served) if served <= PLACES else np.unique(place, return_inverse=True)[1]
    weight = np.bincount(place, devices.weight[order[:served]]).astype(np.float64)
    weight[-1] += float(devices.weight[order[served:]].sum())
    # of the fastest: a plan may cut where we do not
    first = np.append(0, np.flatnonzero(np.diff(place)) + 1)
    at_most = np.exp(most[order[first]])
    return DeviceLine(order, place, weight, at_most, reach.bound)


def plan_sizes(
    asked: SizesProblem,
    networks: int | None = None,
    cost: float = NETWORK_COST,
    progress: Callable[[int, int], None] | None = None,
) -> Sizes:
    """One network, two, ..., up to `networks` (None: as many as bring more than `cost` each).

    Raises InfeasibleError where the share of the fleet cannot be in time.
    """
    line, search = line_up(asked), _Networks(asked)
    most = networks or MOST_NETWORKS
    sizings: list[Sizing] = []
    assignments: list[Assignment] = []
    for number in range(1, min(most, len(line.weight)) + 1):
        rows = search.rows(line, number)
        sizing, assignment = _sizing(asked, search, rows, line.at_most_with(number))
        if progress:
            progress(number, most)
        if sizings and sizing.networks <= sizings[-1].networks:
            break
        sizings.append(sizing)
        assignments.append(assignment)
        before = sizings[-2].quality if len(sizings) > 1 else -np.inf
        if networks is None and sizing.quality - before < cost:
            break
    advised = sizings[-1].networks if networks else _advised(sizings, cost)
    return Sizes(
        np.stack(search.counts),
        asked.networks.importance.kept(np.stack(search.counts)),
        tuple(sizings),
        tuple(assignments),
        line.each_its_own,
        line.bound,
        advised,
        cost,
    )


@dataclass(eq=False)
class _Networks:
    """Networks found so far, by what was asked of them."""

    asked: SizesProblem
    counts: list[Counts] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)

    def rows(self, line: DeviceLine, networks: int) -> Ints:
        """The networks of the best parts for so many, each once."""
        return np.unique([self._row(line, *part) for part in line.parts(networks)])

    def _row(self, line: DeviceLine, first: int, end: int) -> int:
        begin, stop = np.searchsorted(line.place, [first, end])
        group = line.order[begin:stop]
        slowest = np.full(self.asked.clusters, -np.inf)
        np.maximum.at(slowest, self.asked.devices.cluster[group], self.asked.log_factor[group])
        key = slowest.tobytes()
        if key not in self._known:
            found = group_network(self.asked, slowest)
            if found is None:
                raise InfeasibleError(
                    f"some network must keep the deadline of {self.asked.deadline_ms:g} ms on "
                    f"every group of devices, but for one the search found none: raise it, or "
                    f"lower --floor, --min-width or --share"
                )
            self._known[key] = self._place(found)
        return self._known[key]

    def _place(self, counts: Counts) -> int:
        for place, known in enumerate(self.counts):
            if (known == counts).all():
                return place
        self.counts.append(counts)
        return len(self.counts) - 1


def _sizing(
    asked: SizesProblem, search: _Networks, rows: Ints, at_most: float
) -> tuple[Sizing, Assignment]:
    counts = np.stack([search.counts[row] for row in rows])
    kept = asked.networks.importance.kept(counts)
    order = np.argsort(-kept, kind="stable")
    rows, counts, kept = rows[order], counts[order], kept[order]
    seen = asked.networks.latency.predict(counts)
    found = assign(asked.devices, seen, kept, asked.deadline_ms, asked.confidence)
    weight = asked.devices.weight
    shares = np.bincount(found.row, weight, minlength=len(rows)).astype(np.float64)
    used = shares > 0.0
    sizing = Sizing(
        rows=rows[used],
        weights=shares[used],
        quality=float(shares @ kept),
        at_most=max(at_most, float(shares @ kept)),
        in_time=float(weight[found.in_time(asked.confidence)].sum()),
        expected_in_time=float(weight @ found.probability),
    )
    return sizing, replace(found, row=rows[found.row])


def _advised(sizings: list[Sizing], cost: float) -> int:
    best = sizings[0]
    for sizing in sizings[1:]:
        if sizing.quality - best.quality < cost * (sizing.networks - best.networks):
            break
        best = sizing
    return best.networks


def _hopeless(asked: SizesProblem, weight: float) -> str:
    cluster = int(asked.quickest_ms.argmax())
    floor = asked.networks.floor
    least = f" and keeps {floor:g}" if floor > 0.0 else ""
    return (
        f"{percent(asked.share)} of the fleet must be in time, but {percent(weight)} of it runs no "
        f"allowed network that is within {asked.deadline_ms:g} ms{least} (the quickest takes "
        f"{latency(float(asked.quickest_ms[cluster]))} on cluster {cluster}, doubt included): "
        f"raise --latency, or lower --share, --floor or --min-width"
    )
