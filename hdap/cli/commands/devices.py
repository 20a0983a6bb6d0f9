"""`hdap devices`: the devices, their cluster and how they compare inside it."""

from hdap.cli.settings.fleet_commands import DevicesCommand
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, show_rows
from hdap.fleet_data.wording import counted, number, times
from hdap.workflows.list_devices import list_devices


def run(asked: DevicesCommand) -> None:
    """Print the devices, those first that a person should look at."""
    with open_store(asked.db, create=False, read_only=True) as store:
        total = int(store.query("SELECT COUNT(*) FROM devices").rows[0][0])
        found = list_devices(store, asked.cluster, asked.outliers, asked.limit)
        aside = store.set_aside()
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    if asked.as_json:
        emit_json(rows)
        return
    show_rows(
        rows,
        ("device", "left", lambda d: str(d["device_id"])),
        ("cluster", "right", lambda d: "-" if d["cluster"] is None else str(d["cluster"])),
        ("outlier", "left", lambda d: "yes" * bool(d["outlier"])),
        ("representative", "left", lambda d: "yes" * bool(d["representative"])),
        ("weight", "right", lambda d: number(float(d["weight"]))),
        (
            "latency vs its cluster",
            "right",
            lambda d: "-" if d["factor"] is None else times(d["factor"]),
        ),
        ("measurements", "right", lambda d: f"{d['measurements']:,}"),
        optional=("weight", "measurements"),
    )
    line(f"{len(rows):,} of {counted(total, 'device')} shown")
    for each in aside:
        line(str(each))
    clustered = any(r["cluster"] is not None for r in rows)
    if clustered or total:
        next_steps("hdap status" if clustered else "hdap cluster")
    else:
        telemetry_of_yours()
