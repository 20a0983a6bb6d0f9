"""`hdap devices`: the devices, their cluster and how they compare inside it."""

from collections.abc import Callable, Sequence
from typing import Any

from hdap.cli.settings.fleet_commands import DevicesCommand
from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours, told_aside
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, show_rows
from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.software import parse_software, show_software
from hdap.fleet_data.wording import UNKNOWN, counted, date, number, times
from hdap.workflows.list_devices import list_devices


def run(asked: DevicesCommand) -> None:
    """Print the devices, those first that a person should look at."""
    with open_store(asked.db, create=False, read_only=True) as store:
        total = int(store.query("SELECT COUNT(*) FROM devices").rows[0][0])
        found = list_devices(store, asked.cluster, asked.outliers, asked.limit, asked.changed)
        aside, head = store.set_aside(), store.clustering_head()
    if asked.cluster is not None and head is not None and not 0 <= asked.cluster < head.clusters:
        raise NotFoundError(
            f"`--cluster` must be one of 0 to {head.clusters - 1}, which the newest clustering "
            f"has, but got {asked.cluster}"
        )
    rows = [_told(dict(zip(found.columns, row, strict=True))) for row in found.rows]
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
        *_software_columns(rows),
        optional=("weight", "measurements", "representative", "ran before"),
    )
    line(f"{len(rows):,} of {counted(total, 'device')} shown")
    for each in aside:
        line(told_aside(each))
    if total:
        next_steps("hdap status" if head is not None else "hdap cluster")
    else:
        telemetry_of_yours()


def _told(device: dict[str, Any]) -> dict[str, Any]:
    """A row with its software as columns and its date as seconds since 1970."""
    since = device.pop("software_since_us")
    before = device["software_before"]
    return device | {
        "software": parse_software(device["software"] or ""),
        "software_before": parse_software(before or ""),
        "software_since": None if since is None else since / 1e6,
        "runs": show_software(device["software"] or ""),
        "ran": None if before is None else show_software(before),
    }


def _software_columns(
    rows: Sequence[dict[str, Any]],
) -> list[tuple[str, Justify, Callable[[dict[str, Any]], str]]]:
    """What devices run, and since when and after what where that changed; as far as known."""
    if not any(d["software"] for d in rows):
        return []
    columns: list[tuple[str, Justify, Callable[[dict[str, Any]], str]]] = [
        ("runs", "left", lambda d: str(d["runs"]))
    ]
    if any(d["ran"] for d in rows):
        columns.append(("since", "left", lambda d: _since(d)))
        columns.append(("ran before", "left", lambda d: d["ran"] or UNKNOWN))
    return columns


def _since(device: dict[str, Any]) -> str:
    since = device["software_since"]
    return UNKNOWN if since is None else date(since)
