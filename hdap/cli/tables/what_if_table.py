"""`hdap fit --what-if clock=0.6`: predictions in circumstances that are not today's."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import line, say, table, warn
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, Floats
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import interval, latency, times
from hdap.surrogate.context.context_effect import Context, ContextRange
from hdap.surrogate.models.base import FleetSurrogate, Prediction
from hdap.workflows.fleet_artifacts import ensure_surrogates, fit_surrogates
from hdap.workflows.next_commands import plan_command

FIELDS = {"clock": "clock_scale", "temperature": "temperature_shift", "load": "load_shift"}


@dataclass(frozen=True)
class WhatIf:
    """Predictions of a few networks (`names`) on K clusters, as things are and as asked for."""

    model: str
    context: Context
    names: tuple[str, ...]
    today: Prediction
    then: Prediction
    ranges: tuple[ContextRange, ...]
    shares: Floats


def parse_context(texts: Sequence[str]) -> Context:
    """`clock=0.6` (or `60%`), `temperature=+10` (degrees Celsius) and `load=+20` (points).

    Raises InputError for anything else.
    """
    values: dict[str, float] = {}
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        name, _, number = text.partition("=")
        try:
            share = name == "clock" and number.endswith("%")
            value = float(number.removesuffix("%")) / 100 if share else float(number)
        except ValueError:
            value = float("nan")
        if name not in FIELDS or FIELDS[name] in values or not np.isfinite(value):
            raise InputError(
                "`--what-if` must be `clock=0.6` (of today's clock), `temperature=+10` (degrees "
                f"Celsius) or `load=+20` (percentage points), each at most once, but got {text!r}"
            )
        values[FIELDS[name]] = value
    return Context(**values)


def ask(
    store: Store,
    architecture: Architecture,
    clustering: ClusteringRecord,
    context: Context,
    kind: str,
    seed: int,
) -> WhatIf:
    """The dense network, and the best one found by the newest search of the model if there is one.

    Surrogates are fitted where they are not current. Raises InputError where nothing is known of
    such a context.
    """
    surrogate: FleetSurrogate = ensure_surrogates(store, architecture, clustering, say, kind, seed)
    if not surrogate.context_range:
        # They may be older than what-if.
        found = fit_surrogates(store, architecture, clustering, kind, seed, base_lines=())
        surrogate = found.surrogate
    names, counts = _networks(store, architecture)
    return WhatIf(
        architecture.model,
        context,
        names,
        surrogate.predict(counts),
        surrogate.predict(counts, context),
        surrogate.context_range,
        np.array([c.weight_share for c in clustering.clusters]),
    )


def _networks(store: Store, architecture: Architecture) -> tuple[tuple[str, ...], Counts]:
    dense = architecture.widths
    mine = [s for s in store.studies() if s.model == architecture.model]
    if not mine:
        return ("dense",), dense[None, :]
    rows = store.query(
        f"SELECT number, channels FROM trials WHERE study_id = {mine[-1].id} AND feasible "
        "ORDER BY coalesce(value_1, ucb_ms), ucb_ms, number LIMIT 1"
    ).rows
    if not rows:
        return ("dense",), dense[None, :]
    number, channels = rows[0]
    kept = json.loads(channels) if isinstance(channels, str) else channels
    best = np.array([int(kept[g.name]) for g in architecture.groups])
    return ("dense", f"trial {number} of {mine[-1].name}"), np.stack([dense, best])


def document(asked: WhatIf) -> dict[str, Any]:
    """The answer as `--json` prints it; latencies in ms."""

    def latency(prediction: Prediction, network: int, cluster: int) -> dict[str, float]:
        at = network, cluster
        return {
            "latency_ms": float(prediction.ms[at]),
            "low_ms": float(prediction.low_ms[at]),
            "high_ms": float(prediction.high_ms[at]),
        }

    return {
        "model": asked.model,
        "latency": "predicted",
        "context": asdict(asked.context),
        "clusters": [
            {
                "cluster": cluster,
                "context_range": asdict(asked.ranges[cluster]) if asked.ranges else None,
                "networks": [
                    {
                        "network": name,
                        "today": latency(asked.today, i, cluster),
                        "what_if": latency(asked.then, i, cluster),
                    }
                    for i, name in enumerate(asked.names)
                ],
            }
            for cluster in range(len(asked.shares))
        ],
    }


def show(asked: WhatIf) -> None:
    """The answer as a person reads it."""
    for i, name in enumerate(asked.names):
        table(
            [
                ("cluster", "right"),
                ("today", "right"),
                ("90 % interval", "right"),
                ("what if", "right"),
                ("90 % interval then", "right"),
                ("times as long", "right"),
                ("clock MHz", "right"),
                ("seen MHz", "right"),
            ],
            [
                [
                    f"{k}",
                    *_cells(asked.today, i, k),
                    *_cells(asked.then, i, k),
                    times(asked.then.ms[i, k] / asked.today.ms[i, k]),
                    *_clock_cells(asked, k),
                ]
                for k in range(len(asked.shares))
            ],
            title=f"{asked.model}, {name}: predicted at {_words(asked.context)}",
            optional=("seen MHz", "clock MHz"),
        )
    means = [[float(p.ms[i] @ asked.shares) for p in (asked.today, asked.then)] for i in (0, -1)]
    for name, (today, then) in dict(
        zip((asked.names[0], asked.names[-1]), means, strict=True)
    ).items():
        line(
            f"fleet mean of {name}: predicted {latency(then)} instead of {latency(today)}, "
            f"{times(then / today)} as long"
        )
    beyond = _never_seen(asked)
    if beyond:
        warn(
            f"clusters {', '.join(map(str, beyond))} never reported such a clock: what others did "
            "stands in for them, and their intervals are wider"
        )
    next_steps(plan_command(asked.model))


def _never_seen(asked: WhatIf) -> list[int]:
    """Clusters whose rows hold no clock as low or high as what is asked for."""
    if asked.context.clock_scale == 1.0:
        return []
    goals = [(r, r.typical * asked.context.clock_scale) for r in asked.ranges]
    return [k for k, (r, goal) in enumerate(goals) if not r.low <= goal <= r.high]


def _cells(prediction: Prediction, network: int, cluster: int) -> list[str]:
    low, high = prediction.low_ms[network, cluster], prediction.high_ms[network, cluster]
    middle = prediction.ms[network, cluster]
    return [latency(float(middle)), interval(float(low), float(high))]


def _clock_cells(asked: WhatIf, cluster: int) -> list[str]:
    if not asked.ranges:
        return ["-", "-"]
    seen = asked.ranges[cluster]
    if not np.isfinite(seen.typical):
        return ["-", "-"]
    return [f"{seen.typical * asked.context.clock_scale:.0f}", f"{seen.low:.0f}-{seen.high:.0f}"]


def _words(context: Context) -> str:
    parts = []
    if context.clock_scale != 1.0:
        parts.append(f"{100 * context.clock_scale:.0f} % of today's clock")
    if context.temperature_shift:
        parts.append(f"{context.temperature_shift:+.0f} degrees Celsius")
    if context.load_shift:
        parts.append(f"{context.load_shift:+.0f} points of load")
    return ", ".join(parts) or "today's context"
