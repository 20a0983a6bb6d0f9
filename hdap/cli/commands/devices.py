"""`hdap devices`: the devices, their cluster and how they compare inside it."""

from hdap.cli.settings.fleet_commands import DevicesCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, next_steps, number, table

QUERY = """
WITH chosen AS (
    SELECT d.device_key, d.device_id, d.weight, c.cluster, c.outlier, c.representative, c.factor
    FROM devices d
    LEFT JOIN cluster_devices c ON c.device_id = d.device_id
        AND c.clustering_id = (SELECT MAX(clustering_id) FROM clusterings)
    WHERE {condition}
    ORDER BY c.outlier DESC, c.factor DESC, d.device_id
    LIMIT {limit}
)
SELECT chosen.device_id, weight, cluster, outlier, representative, factor,
       COUNT(m.measurement_id) AS measurements,
       MIN(m.latency_ms) AS fastest_ms, MAX(m.measured_at_us) AS last_seen_us
FROM chosen LEFT JOIN measurements m ON m.device_key = chosen.device_key
GROUP BY chosen.device_key, chosen.device_id, weight, cluster, outlier, representative, factor
ORDER BY outlier DESC, factor DESC, chosen.device_id
"""


def run(asked: DevicesCommand) -> None:
    """Print the devices, those first that a person should look at."""
    wanted = [] if asked.cluster is None else [f"c.cluster = {asked.cluster}"]
    condition = " AND ".join(wanted + ["c.outlier"] * asked.outliers) or "1 = 1"
    with open_store(asked.db, create=False, read_only=True) as store:
        total = int(store.query("SELECT COUNT(*) FROM devices").rows[0][0])
        found = store.query(QUERY.format(condition=condition, limit=asked.limit))
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    if asked.as_json:
        emit_json(rows)
        return
    table(
        [
            ("device", "left"),
            ("cluster", "right"),
            ("outlier", "left"),
            ("representative", "left"),
            ("weight", "right"),
            ("latency vs its cluster", "right"),
            ("measurements", "right"),
        ],
        [
            [
                str(row["device_id"]),
                "-" if row["cluster"] is None else str(row["cluster"]),
                "yes" if row["outlier"] else "",
                "yes" if row["representative"] else "",
                number(float(row["weight"])),
                "-" if row["factor"] is None else f"{row['factor']:.2f}x",
                f"{row['measurements']:,}",
            ]
            for row in rows
        ],
        optional=("weight", "measurements"),
    )
    line(f"{len(rows):,} of {total:,} devices shown")
    clustered = any(r["cluster"] is not None for r in rows)
    waiting = "hdap cluster" if total else "hdap ingest telemetry.csv"
    next_steps("hdap status" if clustered else waiting)
