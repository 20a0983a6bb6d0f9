"""What somebody ships who sizes one network on one device: the one on the desk."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.sizes.assignment import assign
from hdap.search.sizes.group_network import group_network
from hdap.search.sizes.sizes_problem import SizesProblem

TYPICAL = "typical device"


@dataclass(frozen=True)
class DeskNetwork:
    """The network for the device on the desk (`title` says which) on the whole fleet, predicted.

    `counts` (groups) are its channels, `kept` is its kept importance, `late` the share of the fleet
    that is expected to miss the deadline, `mean_ms` the fleet's mean latency.
    """

    title: str
    device: str
    counts: Counts
    kept: float
    late: float
    mean_ms: float


def desk_networks(asked: SizesProblem) -> tuple[DeskNetwork, ...]:
    """For the typical device and for the slowest one that any network is fast enough on.

    A device on which no allowed network is found in time has none: few may be asked to be in time.
    """
    devices, networks = asked.devices, asked.networks
    dense = networks.latency.predict(networks.architecture.widths[None]).log_ms[0]
    slow = dense[devices.cluster] + asked.log_factor
    by_speed = np.argsort(slow, kind="stable")
    least = np.log(asked.quickest_ms)[devices.cluster] + asked.log_factor
    able = by_speed[least[by_speed] <= np.log(asked.deadline_ms)]
    found = [_network(asked, TYPICAL, devices.at_share(slow, 0.5))]
    found += [_network(asked, "slowest device", int(row)) for row in able[-1:]]
    return tuple(desk for desk in found if desk is not None)


def _network(asked: SizesProblem, title: str, device: int) -> DeskNetwork | None:
    devices, networks = asked.devices, asked.networks
    only = np.full(asked.clusters, -np.inf)
    only[devices.cluster[device]] = asked.log_factor[device]
    counts = group_network(asked, only)
    if counts is None:
        return None
    seen = networks.latency.predict(counts[None])
    kept = networks.importance.kept(counts[None])
    on_time = assign(devices, seen, kept, asked.deadline_ms, asked.confidence).probability
    ms = seen.ms[0, devices.cluster] * np.exp(devices.log_factor)
    return DeskNetwork(
        title,
        str(devices.ids[device]),
        counts,
        float(kept[0]),
        float(1.0 - devices.weight @ on_time),
        float(devices.weight @ ms),
    )
