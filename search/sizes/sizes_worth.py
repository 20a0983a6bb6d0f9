"""What networks of several sizes would be worth, before any of them is searched."""

from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.wording import kept, latency, percent
from hdap.search.problem.objectives import MEAN
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.search.sizes.kept_within import COARSE
from hdap.search.sizes.plan_sizes import line_up
from hdap.search.sizes.sizes_problem import LEAST_SHARE, SizesProblem

SEVERAL = 3
WORTHWHILE = 0.01
"""Kept importance below which more networks are not worth a word."""


@dataclass(frozen=True)
class SizesWorth:
    """One network for all beside several that are as surely within the same deadline, predicted.

    `deadline_ms` is what the one takes on the device at the 95th percentile, doubt included; `one`
    is what it keeps, `several` what three networks would let the average device keep at most,
    `each` one a device. `desk_late` is the share of the fleet on which a network that is just in
    time on the typical device would be late.
    """

    deadline_ms: float
    one: float
    several: float
    each: float
    desk_late: float

    @property
    def worthwhile(self) -> bool:
        """Whether several networks may keep more by so much that a person should know."""
        return self.several - self.one >= WORTHWHILE

    @property
    def words(self) -> str:
        """One line for people."""
        within = f"within the {latency(self.deadline_ms)} that it surely takes on 95 % of devices"
        if not self.worthwhile:
            return f"{within} more networks would hardly keep more: the fleet is of one speed"
        return (
            f"{within}, {SEVERAL} networks of any FLOPs would keep at most {kept(self.several)} on "
            f"the average device where it keeps {kept(self.one)} (one a device {kept(self.each)}); "
            f"a network just in time on the typical device is late on {percent(self.desk_late, 0)}"
        )


def sizes_worth(problem: SearchProblem, devices: DeviceSpeeds, found: Counts) -> SizesWorth | None:
    """What `found` (`groups`) gives up by being one for all.

    None where `found` is about as fast as any network can be, so that what was asked of several
    would be refused: each device counts with a little more doubt there.
    """
    architecture = problem.architecture
    space = _of_any_size(problem.space)
    ends = flops(architecture, np.stack([space.smallest, space.widest]))
    networks = replace(
        problem,
        space=space,
        band=replace(problem.band, low=int(ends[0]), high=int(ends[1])),
        floor=0.0,
        goals=MEAN,
        limit_ms=None,
        start=None,
        accuracy_model=None,
    )
    asked = SizesProblem(networks, devices, 1.0)
    asked = replace(asked, deadline_ms=_deadline(asked, found))
    try:
        line = line_up(asked, COARSE)
    except InfeasibleError:
        return None
    one = float(problem.importance.kept(found[None])[0])
    several, each = line.at_most_with(SEVERAL), line.each_its_own
    return SizesWorth(
        asked.deadline_ms, one, max(one, several), max(one, each), _late_from_desk(asked)
    )


def _of_any_size(space: SearchSpace) -> SearchSpace:
    """What is allowed to networks of all sizes, where a person bounded groups as in `space`."""
    groups = space.architecture.groups
    fixed = {groups[index].name: count for index, count in space.fixed.items()}
    wide = SearchSpace.build(space.architecture, space.step, fixed=fixed, min_share=LEAST_SHARE)
    most = zip(groups, space.widest.tolist(), strict=True)
    return wide.within({group.name: (1, count) for group, count in most if count < group.width})


def _deadline(asked: SizesProblem, found: Counts) -> float:
    seen = asked.networks.latency.predict(found[None])
    mine = asked.devices.cluster
    sd = np.hypot(seen.log_sd[0, mine], asked.devices.log_sd)
    ms = np.exp(seen.log_ms[0, mine] + asked.devices.log_factor + asked.certain * sd)
    return float(ms[asked.devices.at_share(ms, asked.share - 1e-9)])


def _late_from_desk(asked: SizesProblem) -> float:
    devices = asked.devices
    dense = asked.networks.latency.predict(asked.networks.architecture.widths[None])
    slow = dense.log_ms[0, devices.cluster] + devices.log_factor
    middle = devices.at_share(slow, 0.5)
    margin = asked.certain * float(
        np.hypot(dense.log_sd[0, devices.cluster[middle]], devices.log_sd[middle])
    )
    return float(devices.weight[slow > slow[middle] + margin].sum())
