"""Figures of the study of proxies from its rows: means over seeds with 95 % intervals."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import kendalltau, t

from benchmarks.quality.search import AS_FAST, FLOORS, FREE, RULE, UNIFORM

TARGETS = ("accuracy", "loss")
NOT_PROXIES = (
    *("network", "seed", "dense", "name", "channels", "simulated_ms", "tune"),
    *TARGETS,
)


def proxies(rows: pl.DataFrame) -> list[str]:
    """Names of all proxies in the rows."""
    return [name for name in rows.columns if name not in NOT_PROXIES]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % interval; infinite for one value."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return float(found.mean()), np.inf
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(half)


def words(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """Mean and half width for people."""
    mean, half = interval([scale * v for v in values])
    return f"{mean:+.{digits}f} ± {half:.{digits}f}"


def tables() -> pl.Config:
    """Inside, data frames print as whole Markdown tables."""
    return pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=180,
        fmt_str_lengths=60,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="ASCII_MARKDOWN",
        float_precision=3,
    )


def spreads(rows: pl.DataFrame) -> pl.DataFrame:
    """How far configurations lie apart, and fine-tunings of one and the same: `ratio` over seeds.

    Standard deviations, accuracy in points; the spread is that of the drawn ones.
    """
    cells = rows.filter(pl.col("name").str.starts_with("drawn")).partition_by("network")
    found = []
    for cell in cells:
        once = cell.filter(pl.col("tune") == 0)
        repeated = cell.filter(pl.len().over("seed", "name") == 2)
        line: dict[str, str | float] = {
            "network": cell["network"][0],
            "dense accuracy": 100 * _mean(cell["dense"]),
            "pruned, least": 100 * _least(once["accuracy"]),
            "pruned, most": 100 * _most(once["accuracy"]),
        }
        for target in TARGETS:
            own = once.group_by("seed").agg(pl.col(target).var())[target]
            noise = repeated.group_by("seed", "name").agg(pl.col(target).var())[target]
            spread, between = _mean(own) ** 0.5, _mean(noise) ** 0.5
            line |= {f"{target} spread": spread, f"{target} noise": between}
            line |= {f"{target} ratio": spread / between}
        found.append(line)
    return pl.DataFrame(found)


def taus(rows: pl.DataFrame) -> pl.DataFrame:
    """Kendall's tau: `network`, `seed`, `target`, `proxy`, `tau`, over different configurations."""
    once = rows.filter(pl.col("tune") == 0)
    once = once.unique(["network", "seed", "channels"], keep="first", maintain_order=True)
    found = []
    for cell in once.partition_by("network", "seed"):
        for target in TARGETS:
            quality = cell[target].to_numpy() * (1 if target == "accuracy" else -1)
            for proxy in proxies(rows):
                tau = float(kendalltau(cell[proxy].to_numpy(), quality).statistic)
                line = {"network": cell["network"][0], "seed": cell["seed"][0]}
                found.append(line | {"target": target, "proxy": proxy, "tau": tau})
    return pl.DataFrame(found)


def _by_seed(rows: pl.DataFrame, network: str, name: str) -> pl.DataFrame:
    chosen = (pl.col("network") == network) & (pl.col("name") == name)
    means = pl.col("accuracy", "loss", "simulated_ms").mean()
    return rows.filter(chosen).group_by("seed").agg(means).sort("seed")


def _compared(rows: pl.DataFrame, network: str, one: str, other: str) -> dict[str, str | float]:
    """What `one` has over `other`, paired over seeds: points of accuracy, nats, times as fast."""
    pair = _by_seed(rows, network, one).join(_by_seed(rows, network, other), on="seed")
    accuracy = pair["accuracy"] - pair["accuracy_right"]
    loss = pair["loss"] - pair["loss_right"]
    return {
        "network": network,
        "found with": one,
        "accuracy": 100 * _mean(pair["accuracy"]),
        "points more": words(accuracy.to_list(), 100, 1),
        "nats more": words(loss.to_list(), 1, 3),
        "x as fast (simulated)": _mean(pair["simulated_ms_right"] / pair["simulated_ms"]),
    }


def against_uniform_figures(rows: pl.DataFrame, network: str, name: str) -> list[float]:
    """Accuracy (a share) that `name` has over uniform pruning, for each seed that has it."""
    pair = _by_seed(rows, network, name).join(_by_seed(rows, network, UNIFORM), on="seed")
    return [float(x) for x in pair["accuracy"] - pair["accuracy_right"]]


def against_uniform(rows: pl.DataFrame) -> pl.DataFrame:
    """What was found with each floor against uniform pruning, mean of two fine-tunings a seed."""
    names = [n for n in rows["name"].unique(maintain_order=True) if not n.startswith("drawn")]
    return pl.DataFrame(
        _compared(rows, network, name, UNIFORM)
        for network in rows["network"].unique(maintain_order=True)
        for name in names
    )


def rule_effect(rows: pl.DataFrame) -> pl.DataFrame:
    """The same floor with the rule on the least width against without it."""
    names = rows["name"].unique(maintain_order=True).to_list()
    return pl.DataFrame(
        _compared(rows, network, name, name.replace(RULE, FREE))
        for network in rows["network"].unique(maintain_order=True)
        for name in names
        if RULE in name and name.replace(RULE, FREE) in names
    )


def equally_fast(rows: pl.DataFrame) -> pl.DataFrame:
    """Floors that were lowered until the answer is as fast as that of the first one, against it."""
    first = f"{FLOORS[0]}, {RULE}"
    return pl.DataFrame(
        _compared(rows, network, f"{floor}, {AS_FAST}", first)
        for network in rows["network"].unique(maintain_order=True)
        for floor in FLOORS[1:]
    )


def _mean(values: pl.Series) -> float:
    return float(values.to_numpy().mean())


def _least(values: pl.Series) -> float:
    return float(values.to_numpy().min())


def _most(values: pl.Series) -> float:
    return float(values.to_numpy().max())
