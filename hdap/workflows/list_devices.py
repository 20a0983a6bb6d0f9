"""The devices with their cluster and what is known of each, and what software they run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdap.fleet_data.records import QueryResult

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

QUERY = """
WITH chosen AS (
    SELECT d.device_key, d.device_id, d.weight, c.cluster, c.outlier, c.representative, c.factor,
           c.software, c.software_before, c.software_since_us
    FROM devices d
    LEFT JOIN cluster_devices c ON c.device_id = d.device_id
        AND c.clustering_id = (SELECT MAX(clustering_id) FROM clusterings)
    WHERE {condition}
    ORDER BY c.outlier DESC NULLS LAST, c.factor DESC NULLS LAST, d.device_id
    {limit}
)
SELECT chosen.device_id, weight, cluster, outlier, representative, factor,
       software, software_before, software_since_us,
       COUNT(m.measurement_id) AS measurements,
       MIN(m.latency_ms) AS fastest_ms, MAX(m.measured_at_us) AS last_seen_us
FROM chosen LEFT JOIN measurements m ON m.device_key = chosen.device_key
GROUP BY chosen.device_key, chosen.device_id, weight, cluster, outlier, representative, factor,
         software, software_before, software_since_us
ORDER BY outlier DESC NULLS LAST, factor DESC NULLS LAST, chosen.device_id
"""


SOFTWARE_QUERY = """
SELECT software, COUNT(*), COUNT(software_before)
FROM cluster_devices
WHERE clustering_id = (SELECT MAX(clustering_id) FROM clusterings)
GROUP BY software
ORDER BY 2 DESC, 1
"""


@dataclass(frozen=True)
class SoftwareShare:
    """How many devices run `software` (`format_software`), and how many of them ran something else
    before."""

    software: str
    devices: int
    changed: int


def software_shares(store: "Store") -> tuple[SoftwareShare, ...]:
    """What the devices of the newest clustering run, the most first."""
    rows = store.query(SOFTWARE_QUERY).rows
    return tuple(SoftwareShare(str(s or ""), int(n), int(c)) for s, n, c in rows)


def list_devices(
    store: "Store",
    cluster: int | None = None,
    outliers: bool = False,
    limit: int | None = None,
    changed: bool = False,
) -> QueryResult:
    """Devices (of one cluster, outliers alone, or those alone that changed what they run): outliers
    first, then the slowest against their own cluster. What the newest clustering says of them is
    None where there is none."""
    wanted = ([] if cluster is None else [f"c.cluster = {cluster}"]) + ["c.outlier"] * outliers
    wanted += ["c.software_before IS NOT NULL"] * changed
    cut = "" if limit is None else f"LIMIT {limit}"
    return store.query(QUERY.format(condition=" AND ".join(wanted) or "1 = 1", limit=cut))
