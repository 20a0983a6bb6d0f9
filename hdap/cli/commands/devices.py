"""`hdap devices`: the devices, their cluster and how they compare inside it."""

from hdap.cli.settings.fleet_commands import DevicesCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, next_steps, number, table
from hdap.workflows.list_devices import list_devices


def run(asked: DevicesCommand) -> None:
    """Print the devices, those first that a person should look at."""
    with open_store(asked.db, create=False, read_only=True) as store:
        total = int(store.query("SELECT COUNT(*) FROM devices").rows[0][0])
        found = list_devices(store, asked.cluster, asked.outliers, asked.limit)
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
