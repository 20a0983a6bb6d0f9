"""Rows broken on purpose, one kind for each thing that an ingest must reject."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Breakage:
    """One way to break a row: `value` of an architecture replaces the text in `column`.

    `typed` says whether a column with a type (Parquet) can hold the value. A `value` of None means
    that this architecture cannot be broken so.
    """

    column: str
    value: Callable[[Architecture], str | None]
    typed: bool = True


def _text(value: str) -> Callable[[Architecture], str | None]:
    return lambda _: value


def _first(text: str) -> Callable[[Architecture], str | None]:
    return lambda a: text.format(name=a.groups[0].name, above=a.groups[0].width + 1)


def _uncoupled(architecture: Architecture) -> str | None:
    """Two layers that must share one count get two."""
    for group in architecture.groups:
        if len(group.members) > 1 and group.width > group.multiple:
            one, other = group.members[:2]
            return f"{one}={group.width};{other}={group.width - group.multiple}"
    return None


BREAKAGES: dict[str, Breakage] = {
    "no-device": Breakage("device_id", _text("")),
    "long-device": Breakage("device_id", _text("sim-" + "x" * 128)),
    "no-model": Breakage("model", _text("")),
    "no-latency": Breakage("latency_ms", _text("")),
    "zero-latency": Breakage("latency_ms", _text("0")),
    "negative-latency": Breakage("latency_ms", _text("-3.5")),
    "nan-latency": Breakage("latency_ms", _text("NaN")),
    "infinite-latency": Breakage("latency_ms", _text("inf")),
    "wordy-latency": Breakage("latency_ms", _text("12 ms"), typed=False),
    "comma-latency": Breakage("latency_ms", _text('"12,5"'), typed=False),
    "impossible-time": Breakage("timestamp", _text("2026-13-41T25:61:00Z"), typed=False),
    "negative-p95": Breakage("latency_p95_ms", _text("-1")),
    "zero-runs": Breakage("runs", _text("0")),
    "fractional-runs": Breakage("runs", _text("2.5"), typed=False),
    "zero-batch": Breakage("batch_size", _text("0")),
    "zero-weight": Breakage("weight", _text("0")),
    "unknown-group": Breakage("channels", _text("no.such.layer=8")),
    "garbled-channels": Breakage("channels", _first("{name}:8")),
    "zero-channels": Breakage("channels", _first("{name}=0")),
    "too-wide": Breakage("channels", _first("{name}={above}")),
    "uncoupled": Breakage("channels", _uncoupled),
    "extra-field": Breakage("runtime", _text("simulated,surplus"), typed=False),
}
"""Breakages by name; all give rows that no ingest may accept."""


def possible(architecture: Architecture, typed: bool) -> tuple[str, ...]:
    """Names of the breakages that this architecture and a typed (or text) file allow."""
    return tuple(
        name
        for name, kind in BREAKAGES.items()
        if (kind.typed or not typed) and kind.value(architecture) is not None
    )


def break_rows(
    rows: pl.DataFrame, architecture: Architecture, kinds: np.ndarray[tuple[int], np.dtype[np.str_]]
) -> pl.DataFrame:
    """`rows` (all columns text, all of `architecture`'s model), row i broken in the way `kinds[i]`.

    The order of rows changes: they come grouped by breakage.
    """
    groups = []
    for name in np.unique(kinds):
        kind = BREAKAGES[str(name)]
        value = pl.lit(kind.value(architecture), dtype=pl.String)
        some = rows.filter(pl.Series(kinds == name))
        groups.append(some.with_columns(value.alias(kind.column)))
    return pl.concat(groups) if groups else rows.clear()
