"""The devices with their cluster and what is known of each."""

from typing import TYPE_CHECKING

from hdap.fleet_data.records import QueryResult

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

QUERY = """
WITH chosen AS (
    SELECT d.device_key, d.device_id, d.weight, c.cluster, c.outlier, c.representative, c.factor
    FROM devices d
    LEFT JOIN cluster_devices c ON c.device_id = d.device_id
        AND c.clustering_id = (SELECT MAX(clustering_id) FROM clusterings)
    WHERE {condition}
    ORDER BY c.outlier DESC, c.factor DESC, d.device_id
    {limit}
)
SELECT chosen.device_id, weight, cluster, outlier, representative, factor,
       COUNT(m.measurement_id) AS measurements,
       MIN(m.latency_ms) AS fastest_ms, MAX(m.measured_at_us) AS last_seen_us
FROM chosen LEFT JOIN measurements m ON m.device_key = chosen.device_key
GROUP BY chosen.device_key, chosen.device_id, weight, cluster, outlier, representative, factor
ORDER BY outlier DESC, factor DESC, chosen.device_id
"""


def list_devices(
    store: "Store", cluster: int | None = None, outliers: bool = False, limit: int | None = None
) -> QueryResult:
    """Devices (of one cluster, or outliers alone): outliers first, then the slowest against their
    own cluster. What the newest clustering says of them is None where there is none."""
    wanted = ([] if cluster is None else [f"c.cluster = {cluster}"]) + ["c.outlier"] * outliers
    cut = "" if limit is None else f"LIMIT {limit}"
    return store.query(QUERY.format(condition=" AND ".join(wanted) or "1 = 1", limit=cut))
