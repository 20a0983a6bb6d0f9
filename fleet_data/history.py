"""Old dense rows made fewer: of each like group, rows at quantiles of its latencies stand for all.

What clustering reads of a device is medians and median deviations of its log latencies, their tails
and how they go with context. Nine strata of a sorted group keep all of these, with the context of
each stratum; a mean and a variance would not.
"""

import polars as pl

from hdap.fleet_data.telemetry import CONTEXT, SESSION_S

STRATA = 9
"""Rows that a group becomes at most: its median is one of them, and a spread needs four."""
GROUP = (
    *("device_key", "configuration_key", "runtime_key", "software_key", "batch_size"),
    *("unit_ms", "unit_sure", "fresh", "everyday"),
)
MIDDLES = ("latency_ms", "latency_p95_ms", *CONTEXT)


def tell_everyday(dense: pl.DataFrame, pruned: pl.DataFrame) -> pl.DataFrame:
    """The dense rows, and whether each is `everyday`: no pruned row of its device is within a
    session before or after.

    Both have `device_key` and `measured_at_us`; as clustering tells them (`cluster_drift`).
    """
    if pruned.is_empty():
        return dense.with_columns(everyday=pl.lit(True))
    times = pruned.select("device_key", "measured_at_us", near_us="measured_at_us")
    found = dense.sort("measured_at_us").join_asof(
        times.sort("measured_at_us"),
        on="measured_at_us",
        by="device_key",
        strategy="nearest",
        check_sortedness=False,
    )
    apart = (pl.col("near_us") - pl.col("measured_at_us")).abs() > SESSION_S * 1e6
    return found.with_columns(everyday=pl.col("near_us").is_null() | apart).drop("near_us")


def strata(rows: pl.DataFrame) -> pl.DataFrame:
    """What rows become: one a stratum, with the `measurement_id` that it keeps and the number of
    rows that it `stands_for`.

    `rows`, of groups of more than `STRATA`, have `measurement_id`, `measured_at_us`, `runs`,
    `stands_for` (NULL: one), those of `GROUP` and `MIDDLES`. The newest id of a stratum is kept,
    and its newest time.
    """
    weight = pl.col("stands_for").fill_null(1)
    placed = (
        rows.sort("latency_ms", "measurement_id")
        .with_columns(weight=weight)
        .with_columns(
            share=(pl.col("weight").cum_sum().over(GROUP) - pl.col("weight") / 2)
            / pl.col("weight").sum().over(GROUP)
        )
        .with_columns(stratum=(pl.col("share") * STRATA).floor())
    )
    return (
        placed.group_by(*GROUP, "stratum")
        .agg(
            pl.col("measurement_id").max(),
            pl.col("measured_at_us").max(),
            pl.col("runs").median().round().cast(pl.Int64),
            pl.col("weight").sum().alias("stands_for"),
            *(pl.col(name).median() for name in MIDDLES),
        )
        .sort("measurement_id")
    )


def large_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of groups that become fewer, those of more than `STRATA` rows."""
    return rows.filter(pl.len().over(GROUP) > STRATA)
