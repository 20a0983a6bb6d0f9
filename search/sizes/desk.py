"""What somebody ships who sizes one network on one device: the one on the desk."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats
from hdap.search.sizes.assignment import assign
from hdap.search.sizes.group_network import group_network
from hdap.search.sizes.sizes_problem import SizesProblem


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
    """For the typical device and for the slowest one that any network is fast enough on."""
    devices, networks = asked.devices, asked.networks
    log_factor = devices.doubt(asked.certain, asked.least_sd())
    dense = networks.latency.predict(networks.architecture.widths[None]).log_ms[0]
    by_speed = np.argsort(dense[devices.cluster] + log_factor, kind="stable")
    middle = int(np.searchsorted(np.cumsum(devices.weight[by_speed]), 0.5))
    smallest = networks.latency.predict(networks.space.smallest[None])
    least = (smallest.log_ms + asked.certain * smallest.log_sd)[0]
    able = least[devices.cluster] + log_factor <= np.log(asked.deadline_ms)
    found = [_network(asked, "typical device", int(by_speed[middle]), log_factor)]
    found += [
        _network(asked, "slowest device", int(row), log_factor)
        for row in by_speed[able[by_speed]][-1:]
    ]
    return tuple(found)


def _network(asked: SizesProblem, title: str, device: int, log_factor: Floats) -> DeskNetwork:
    devices, networks = asked.devices, asked.networks
    only = np.full(asked.clusters, -np.inf)
    only[devices.cluster[device]] = log_factor[device]
    counts = group_network(asked, only)
    if counts is None:
        raise InfeasibleError(
            f"the {title}, {devices.ids[device]}, must run some allowed network within "
            f"{asked.deadline_ms:g} ms, but the search found none: raise --latency, or lower "
            f"--floor or --min-width"
        )
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
