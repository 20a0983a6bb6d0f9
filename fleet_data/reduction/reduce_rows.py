"""The reduction: what clustering and surrogates need of a device, as one Ibis expression.

Everyday rows that agree in device, network and software become one, and so do those of a measuring
session that were taken at about the same time: their number, the median and the spread of their log
latencies, medians of everything else. The result has the contract's own columns (`reduced_rows` and
`reduced_spread` beside the usual ones), so that it is ingested as any other telemetry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdap.fleet_data.telemetry import BY_NAME, COLUMNS, CONTEXT, SESSION_S, TelemetryColumn

if TYPE_CHECKING:
    import ibis.expr.types as ir

KEYS = (
    "device_id",
    "model",
    "channels",
    "batch_size",
    "runtime",
    "precision",
    "threads",
    "firmware",
)
"""What rows agree in that become one."""
REDUCED = ("reduced_rows", "reduced_spread")
SESSION = int(SESSION_S)
"""A dense row within an hour of a pruned one of its device was taken beside it, and is no everyday
one: the two kinds are never mixed (as `hdap.clustering.cluster_drift` has it)."""
SAME_TIME_S = 10
"""Rows of a session this near to each other become one: what slows all devices of a room at once is
seen in dense rows between pruned ones, and takes longer."""
IQR_OF_SD = 1.349
"""Interquartile range of a normal distribution in standard deviations."""


@dataclass(frozen=True)
class Quantiles:
    """How an engine is asked for a quantile: `exact`, or as its sketches estimate it."""

    exact: bool = True

    def of(self, column: Any, share: float) -> Any:
        """The quantile of a column's known values."""
        return column.quantile(share) if self.exact else column.approx_quantile(share)


def reduced(
    rows: "ir.Table", quantiles: Quantiles = Quantiles(), after: str | None = None
) -> "ir.Table":
    """`rows`, whose columns are called as in the contract, reduced; those `after` a moment.

    Rows that break the contract are left out, as an ingest leaves them out.
    """
    told = [column for column in COLUMNS if column.name in rows.columns]
    typed = rows.select(_typed(rows, column) for column in told)
    good = typed.filter(*(kept for c in told if (kept := _keeps(typed[c.name], c)) is not None))
    if after is not None:
        good = good.filter(good["timestamp"] > _moment(after))
    return _grouped(_with_sessions(good), quantiles)


def _typed(rows: "ir.Table", column: TelemetryColumn) -> Any:
    import ibis

    value = rows[column.name]
    if column.kind == "time":
        return value.cast("timestamp").name(column.name)
    if column.kind == "text":
        text = value.cast("string")
        # the dense network has the empty text, whoever left it out
        return (text.coalesce("") if column.name == "channels" else text).name(column.name)
    number = value.cast("float64")
    number = ibis.cases((number.isnan(), ibis.null("float64")), else_=number)
    return number.name(column.name)


def _keeps(value: Any, column: TelemetryColumn) -> Any | None:
    """What must hold of a value; None where any is taken."""
    if column.kind in ("time", "text"):
        return value.length() > 0 if column.required else None
    above = value > column.low if column.above else value >= _finite(column.low)
    inside = above & (value <= _finite(column.high))
    return inside if column.required else value.isnull() | inside


def _finite(bound: float) -> float:
    return max(min(bound, 1e300), -1e300)


def _moment(after: str) -> Any:
    import ibis

    return ibis.literal(after).cast("timestamp")


def _with_sessions(rows: "ir.Table") -> "ir.Table":
    """With `session`: when a row was taken that is pruned or beside pruned ones of its device, in
    steps of SAME_TIME_S; -1 for everyday rows."""
    import ibis

    if "timestamp" not in rows.columns or "channels" not in rows.columns:
        return rows.mutate(session=ibis.literal(-1).cast("int64"))
    # engines differ in what they make of parts of a second
    seconds = rows["timestamp"].truncate("s").epoch_seconds().cast("int64")
    pruned = rows["channels"] != ""
    rows = rows.mutate(seconds=seconds, pruned_at=ibis.cases((pruned, seconds), else_=None))
    line: dict[str, Any] = {"group_by": "device_id", "order_by": "seconds"}
    before = rows["pruned_at"].max().over(ibis.window(following=0, **line))
    following = rows["pruned_at"].min().over(ibis.window(preceding=0, **line))
    rows = rows.mutate(before=before, following=following)
    near = (rows["seconds"] - rows["before"] <= SESSION) | (
        rows["following"] - rows["seconds"] <= SESSION
    )
    measuring = (rows["channels"] != "") | near.coalesce(False)
    step = (rows["seconds"] / SAME_TIME_S).floor().cast("int64").coalesce(-1)
    return rows.mutate(session=ibis.cases((measuring, step), else_=-1))


def _grouped(rows: "ir.Table", quantiles: Quantiles) -> "ir.Table":
    log_ms = rows["latency_ms"].ln()
    rows = rows.mutate(log_ms=log_ms)
    if "latency_p95_ms" in rows.columns:
        rows = rows.mutate(tail=rows["latency_p95_ms"].ln() - log_ms)
    keys = [name for name in KEYS if name in rows.columns]
    sums = {name: of(rows, quantiles) for name, of in _SUMS.items() if _asked(name, rows)}
    found = rows.group_by([*keys, "session"]).aggregate(**sums)
    names = [c.name for c in COLUMNS if c.name in (*keys, *sums)]
    for name in (n for n in names if BY_NAME[n].kind == "integer" and n not in REDUCED):
        found = found.mutate(**{name: found[name].round().cast("int64")})
    return found.select(*names)


def _asked(name: str, rows: "ir.Table") -> bool:
    return name in REDUCED or name in rows.columns


def _middle(name: str) -> Callable[["ir.Table", Quantiles], Any]:
    return lambda rows, quantiles: quantiles.of(rows[name], 0.5)


_SUMS: dict[str, Callable[["ir.Table", Quantiles], Any]] = {
    "latency_ms": lambda rows, quantiles: quantiles.of(rows["log_ms"], 0.5).exp(),
    "latency_p95_ms": lambda rows, quantiles: (
        quantiles.of(rows["log_ms"], 0.5) + quantiles.of(rows["tail"], 0.5)
    ).exp(),
    "reduced_rows": lambda rows, quantiles: rows.count(),
    "reduced_spread": lambda rows, quantiles: (
        (quantiles.of(rows["log_ms"], 0.75) - quantiles.of(rows["log_ms"], 0.25)) / IQR_OF_SD
    ),
    "timestamp": lambda rows, quantiles: rows["timestamp"].max(),
    "weight": lambda rows, quantiles: rows["weight"].max(),
    **{name: _middle(name) for name in ("runs", *CONTEXT)},
}
