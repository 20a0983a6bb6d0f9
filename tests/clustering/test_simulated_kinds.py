"""A simulated fleet, through its files and a store, is clustered by what its devices are."""

import numpy as np

from benchmarks.fleet.simulated_kinds import Found, clustered


def test_throttled_clocks_are_clusters_and_not_one_with_all_others() -> None:
    (found,) = clustered("cameras", 3_000, seeds=1)
    clusters, index, _, stability, spread = found.figures()
    assert 4 <= clusters <= 12
    assert index >= 0.9
    assert stability >= 0.95
    assert spread <= 3.0
    assert _speeds_apart(found) >= 1.5


def _speeds_apart(found: Found) -> float:
    speeds = [each.relative_latency for each in found.clusters.clusters]
    return float(np.max(speeds) / np.min(speeds))
