"""How well each proxy, and a model learned from a few tunings, foretells the truth.

A cell is a network and a seed; figures are means over cells with 95 % intervals (Student's t).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import kendalltau

from benchmarks.quality.figures import interval, proxies, taus, words
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Floats
from hdap.networks.tracing import trace
from hdap.search.problem.bayesian_regression import BayesianRegression
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES

DEFAULT, UNTUNED = "channels, log-mean over layers", "un-tuned accuracy"
"""The proxy `layers`, which a search takes unless told; and what `--tunings 0` judges trials by."""
TUNED_SHORTLY = "tuned shortly, accuracy"
LEARNED_FROM, LEAST_JUDGED = (8, 14, 30), 6
REPEATS = 30
CELL = ["network", "seed"]


MIXED = (UNTUNED, "un-tuned loss", "FLOPs balance", "channels, narrowest group")


def mixed(rows: pl.DataFrame) -> pl.DataFrame:
    """With mixtures: the default proxy and another, each in standard deviations over its cell."""

    def standard(name: str) -> pl.Expr:
        own = pl.col(name)
        return (own - own.mean().over(CELL)) / own.std().over(CELL)

    return rows.with_columns(
        (standard(DEFAULT) + standard(name)).alias(f"layers + {name}") for name in MIXED
    )


def foretold(rows: pl.DataFrame) -> pl.DataFrame:
    """A row a proxy, best first: Kendall's tau by network and in all, against the default, and how
    much accuracy (points) the winner that it picks lacks of the best."""
    rows = mixed(rows)
    every = taus(rows).filter(pl.col("target") == "loss")
    accurate = taus(rows).filter(pl.col("target") == "accuracy")
    lacking = regrets(rows)
    found = []
    for proxy in proxies(rows):
        own = every.filter(pl.col("proxy") == proxy)
        default = every.filter(pl.col("proxy") == DEFAULT)["tau"]
        line: dict[str, str | float] = {"proxy": proxy}
        for network in rows["network"].unique(maintain_order=True):
            values = own.filter(pl.col("network") == network)["tau"].to_numpy()
            line[f"tau, {network}"] = float(values.mean())
        line["tau"] = words(own["tau"].to_list())
        line["less the default's"] = words((own["tau"] - default).to_list())
        by_accuracy = accurate.filter(pl.col("proxy") == proxy)["tau"].to_list()
        line["tau with accuracy"] = words(by_accuracy)
        picked = lacking.filter(pl.col("proxy") == proxy)["lacking"].to_list()
        line["winner lacks, points"] = words(picked)
        line["order"] = interval(own["tau"].to_list())[0]
        found.append(line)
    return pl.DataFrame(found).sort("order", descending=True).drop("order")


def regrets(rows: pl.DataFrame) -> pl.DataFrame:
    """Points of accuracy between the best and what each proxy puts first: `network`, `seed`,
    `proxy`, `lacking`."""
    found = []
    for cell in rows.filter(pl.col("tune") == 0).partition_by(CELL):
        accuracy = cell["accuracy"].to_numpy()
        for proxy in proxies(rows):
            picked = accuracy[cell[proxy].to_numpy().argmax()]
            line = {"network": cell["network"][0], "seed": cell["seed"][0], "proxy": proxy}
            found.append(line | {"lacking": 100.0 * float(accuracy.max() - picked)})
    return pl.DataFrame(found)


def repeated(rows: pl.DataFrame) -> str:
    """How well another seed of the same tuning foretells the truth: what no proxy can surpass."""
    pairs = [
        (cell["accuracy"][0], cell["accuracy"][1])
        for cell in rows.partition_by(*CELL, "name")
        if len(cell) == 2
    ]
    apart = np.array(pairs) @ (1.0, -1.0) if pairs else np.array([np.nan])
    spread = rows.filter(pl.col("tune") == 0).group_by(CELL).agg(pl.col("accuracy").std())
    noise = 100.0 * float(np.sqrt((apart**2).mean() / 2.0))
    between = 100.0 * float(np.sqrt((spread["accuracy"].to_numpy() ** 2).mean()))
    return (
        f"accuracy differs by {between:.2f} points between networks (standard deviation), by "
        f"{noise:.2f} between two tunings of one ({len(pairs)} pairs)"
    )


@dataclass(frozen=True)
class Learned:
    """A model of one cell judged on networks that it did not learn from: Kendall's tau with the
    loss, the share of short tunings that its 90 % interval holds, and what the network that it
    puts first lacks of the best of all (points)."""

    tau: float
    inside: float
    lacking: float


def learned(rows: pl.DataFrame) -> pl.DataFrame:
    """A row a number of tunings that were learned from: short ones where there are any."""
    found = []
    cells = rows.filter(pl.col("tune") == 0).partition_by(CELL)
    beside = taus(rows).filter(pl.col("target") == "loss")
    default, untuned = (
        np.array([_tau(beside, cell, proxy) for cell in cells]) for proxy in (DEFAULT, UNTUNED)
    )
    for known in LEARNED_FROM:
        judged = [_learned(cell, known) for cell in cells if len(cell) >= known + LEAST_JUDGED]
        if len(judged) < len(cells):
            continue
        line: dict[str, str | float] = {"tunings": known}
        for network in rows["network"].unique(maintain_order=True):
            own = [j.tau for c, j in zip(cells, judged, strict=True) if c["network"][0] == network]
            line[f"tau, {network}"] = float(np.mean(own))
        every = np.array([j.tau for j in judged])
        line["tau"] = words(every.tolist())
        line["less the default's"] = words((every - default).tolist())
        line["less un-tuned accuracy's"] = words((every - untuned).tolist())
        line["90 % interval holds"] = f"{100.0 * float(np.mean([j.inside for j in judged])):.0f} %"
        line["winner lacks, points"] = words([j.lacking for j in judged])
        found.append(line)
    return pl.DataFrame(found)


def _tau(every: pl.DataFrame, cell: pl.DataFrame, proxy: str) -> float:
    own = every.filter(network=cell["network"][0], seed=cell["seed"][0], proxy=proxy)
    return float(own["tau"][0])


def _learned(cell: pl.DataFrame, known: int) -> Learned:
    """Mean over draws of the networks that are learned from."""
    x, truth, loss = shares_of(cell), cell["accuracy"].to_numpy(), cell["loss"].to_numpy()
    short = cell[TUNED_SHORTLY if TUNED_SHORTLY in cell.columns else "accuracy"].to_numpy()
    rng, found = np.random.default_rng(cell["seed"][0]), []
    for _ in range(REPEATS):
        order = rng.permutation(len(cell))
        seen, others = order[:known], order[known:]
        model = BayesianRegression.of(x[seen], short[seen])
        expected, sd = model.expected(x), model.sd(x)
        held = np.abs(expected - short)[others] <= 1.645 * sd[others]
        tau = float(kendalltau(expected[others], -loss[others]).statistic)
        lacking = 100.0 * float(truth.max() - truth[expected.argmax()])
        found.append((tau, float(held.mean()), lacking))
    return Learned(*(float(v) for v in np.nanmean(found, axis=0)))


def shares_of(cell: pl.DataFrame) -> Floats:
    """What each group keeps, as the default proxy weighs it: `n x groups` logarithms."""
    architecture: Architecture = trace(f"hdap.examples.networks:{cell['network'][0]}")
    counts = np.array([[int(n) for n in text.split()] for text in cell["channels"]])
    importance = Importance.by_channels(architecture)
    return importance.with_proxy(PROXIES[DEFAULT_PROXY], architecture).log_shares(counts)
