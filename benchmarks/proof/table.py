"""What was measured at the end of a proof, beside what was predicted: figures and their intervals.

A figure is the median over search seeds and rounds of measuring. Its 95 % interval resamples seeds,
then rounds (a two-level bootstrap: rounds of one seed time the same network). In a round all
networks are measured in one session, each between slices of the dense network, so ratios are taken
within a round. The fleet's latency is the mean over conditions, whose devices count alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.proof.conditions import Condition
from benchmarks.proof.loop import DENSE, NAMES, OURS, UNIFORM, Network
from hdap.fleet_data.records import Floats

FLEET = "fleet"
DRAWS = 4000


@dataclass(frozen=True)
class Figure:
    """A median with its 95 % interval."""

    value: float
    low: float
    high: float


def figure(values: Floats) -> Figure:
    """The median of `seeds x rounds` values and its interval."""
    seeds, rounds = values.shape
    rng = np.random.default_rng(0)
    seed = rng.integers(seeds, size=(DRAWS, seeds, 1))
    drawn = values[seed, rng.integers(rounds, size=(DRAWS, seeds, rounds))]
    low, high = np.quantile(np.median(drawn, axis=(1, 2)), [0.025, 0.975])
    return Figure(float(np.median(values)), float(low), float(high))


def readings(
    networks: Sequence[Network], files: Mapping[str, Path]
) -> dict[tuple[str, str], Floats]:
    """Measured ms by condition (and the fleet) and network: `seeds x rounds`."""
    ms: dict[tuple[str, str], Floats] = {}
    for condition, file in files.items():
        rows = pl.read_csv(file, schema_overrides={"channels": pl.String})
        rows = rows.with_columns(pl.col("channels").fill_null("")).sort("round")
        for name in NAMES:
            texts = [n.channels for n in networks if n.name == name]
            ms[condition, name] = np.stack(
                [rows.filter(pl.col("channels") == t)["latency_ms"].to_numpy() for t in texts]
            )
    for name in NAMES:
        ms[FLEET, name] = np.mean([ms[condition, name] for condition in files], axis=0)
    return ms


def figures(
    networks: Sequence[Network],
    conditions: Sequence[Condition],
    files: Mapping[str, Path],
    machine: Mapping[str, str | float],
) -> pl.DataFrame:
    """A row for each condition (and the fleet) and network; latencies in ms, speed-ups as ratios.

    `error` is how far the measured latency is from the predicted one.
    """
    measured = readings(networks, files)
    words = {c.name: c.words for c in conditions if c.name in files}
    rows = []
    for condition, said in [*words.items(), (FLEET, "mean over all devices")]:
        told = {name: _predicted(networks, name, condition, list(words)) for name in NAMES}
        for name in NAMES:
            mine = [n for n in networks if n.name == name]
            of = {other: measured[condition, other] for other in NAMES}
            ms, dense, even = (
                figure(of[name]),
                figure(of[DENSE] / of[name]),
                figure(of[UNIFORM] / of[name]),
            )
            rows.append(
                {
                    "condition": condition,
                    "words": said,
                    "network": name,
                    "seeds": len(mine),
                    "rounds": measured[condition, name].shape[1],
                    "flops": int(np.median([n.flops for n in mine])),
                    "parameters": int(np.median([n.parameters for n in mine])),
                    "kept_importance": min(n.kept_importance for n in mine),
                    "measured_ms": ms.value,
                    "measured_ms_low": ms.low,
                    "measured_ms_high": ms.high,
                    "predicted_ms": told[name],
                    "error": ms.value / told[name] - 1.0,
                    "measured_over_dense": dense.value,
                    "measured_over_dense_low": dense.low,
                    "measured_over_dense_high": dense.high,
                    "predicted_over_dense": told[DENSE] / told[name],
                    "measured_over_uniform": even.value,
                    "measured_over_uniform_low": even.low,
                    "measured_over_uniform_high": even.high,
                    "predicted_over_uniform": told[UNIFORM] / told[name],
                    **machine,
                }
            )
    return pl.DataFrame(rows)


def _predicted(
    networks: Sequence[Network], name: str, condition: str, conditions: Sequence[str]
) -> float:
    """Predicted ms, the median over search seeds."""
    mine = [n.predicted_ms for n in networks if n.name == name]
    chosen = conditions if condition == FLEET else [condition]
    return float(np.median([np.mean([ms[c] for c in chosen]) for ms in mine]))


def markdown(table: pl.DataFrame) -> str:
    """The table of the README: speed-ups measured with intervals, predicted beside them."""
    lines = [
        "| condition (emulated) | network | FLOPs | measured | predicted | over dense, measured | "
        "predicted | over uniform, measured | predicted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table.iter_rows(named=True):
        mark = "**" if row["network"] == OURS else ""
        told = "-" if row["network"] == DENSE else f"{row['predicted_ms']:.1f} ms"
        lines.append(
            f"| {row['condition']}: {row['words']} | {mark}{row['network']}{mark} "
            f"| {row['flops'] / 1e9:.2f} G | {row['measured_ms']:.1f} ms | {told} "
            f"| {mark}{_ratio(row, 'over_dense')}{mark} | {row['predicted_over_dense']:.2f}x "
            f"| {mark}{_ratio(row, 'over_uniform')}{mark} | {row['predicted_over_uniform']:.2f}x |"
        )
    return "\n".join(lines)


def _ratio(row: Mapping[str, float], name: str) -> str:
    value, low, high = (row[f"measured_{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.2f}x ({low:.2f}-{high:.2f})"


def verdict(table: pl.DataFrame) -> list[str]:
    """The targets, each with what was measured."""
    fleet = {r["network"]: r for r in table.filter(pl.col("condition") == FLEET).to_dicts()}
    ours, uniform = fleet[OURS], fleet[UNIFORM]
    mine = table.filter((pl.col("network") == OURS) & (pl.col("condition") != FLEET))
    worst = float(mine["error"].abs().max())  # type: ignore[arg-type]
    held = ours["kept_importance"] >= uniform["kept_importance"] - 1e-9
    few, many = ours["fastest_over_uniform"], ours["fastest_over_dense"]
    return [
        _target("measured over the best uniform", ours["measured_over_uniform"], 1.2, "x"),
        _target("measured over dense", ours["measured_over_dense"], 4.6, "x"),
        f"predicted and measured latency of ours differ by {ours['error']:+.1%} (fleet), at most "
        f"{worst:.1%} under a condition: {'within' if worst <= 0.05 else 'NOT within'} 5 %",
        f"kept importance {ours['kept_importance']:.4f}, uniform keeps "
        f"{uniform['kept_importance']:.4f}: {'no less' if held else 'LESS'}",
        f"bound: with every layer at the best rate of any layer that was measured "
        f"({ours['best_gmacs']:.1f} G multiply-accumulates a second) a network within the budget "
        f"would be {few:.2f}x as fast as this uniform one and {many:.2f}x as fast as dense",
    ]


def _target(words: str, value: float, least: float, unit: str) -> str:
    state = "reached" if value >= least else "NOT reached"
    return f"{words}: {value:.3f}{unit}, target {least}{unit} {state}"
