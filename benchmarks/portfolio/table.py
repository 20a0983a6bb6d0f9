"""What the rows of `benchmarks.portfolio.build` say, way by way, with intervals over seeds."""

import math

import polars as pl
from scipy import stats

WAYS = ("dense", "sparse", "zero filters", "exact", "slim", "alone")


def summary(found: pl.DataFrame) -> str:
    """One paragraph a network; intervals are Student's, 95 %, differences paired by seed."""
    texts = []
    for network in found["network"].unique(maintain_order=True):
        mine = found.filter(pl.col("network") == network)
        lines = [f"{network}, {mine['seed'].n_unique()} seeds", _head()]
        lines += [_line(mine, way) for way in WAYS]
        lines += _targets(mine, network)
        texts.append("\n".join(lines))
    return "\n\n".join(texts)


def paired(mine: pl.DataFrame, way: str, other: str, column: str) -> pl.Series:
    """`column` of one way and of another, seed by seed, as the difference."""
    rows = [mine.filter(pl.col("way") == name).sort("seed")[column] for name in (way, other)]
    return rows[0] - rows[1]


def ratio(mine: pl.DataFrame, way: str, other: str, column: str) -> float:
    """Geometric mean over seeds of how many times more `way` has of `column` than `other`."""
    rows = [mine.filter(pl.col("way") == name).sort("seed")[column] for name in (way, other)]
    return math.exp((rows[0].log() - rows[1].log()).to_numpy().mean())


def geometric(mine: pl.DataFrame, way: str, column: str) -> float:
    """Geometric mean over seeds."""
    values = mine.filter(pl.col("way") == way)[column]
    return math.exp(values.log().to_numpy().mean())


def half_interval(values: pl.Series) -> float:
    """Half of the 95 % interval of a mean."""
    count = len(values)
    if count < 2:
        return math.nan
    spread = float(values.to_numpy().std(ddof=1))
    return float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count)


def _head() -> str:
    return (
        f"{'way':>13} {'weights':>8} {'accuracy':>9} {'to sparse':>12} {'to dense':>12} "
        f"{'smaller':>8} {'x sparse':>9} {'x dense':>8} {'ms':>7}"
    )


def _line(mine: pl.DataFrame, way: str) -> str:
    part = mine.filter(pl.col("way") == way)
    differences = []
    for other in ("sparse", "dense"):
        points = 100 * paired(mine, way, other, "accuracy")
        differences.append(f"{points.to_numpy().mean():+.2f}±{half_interval(points):.2f}")
    return (
        f"{way:>13} {part['density'].to_numpy().mean():8.2%} "
        f"{part['accuracy'].to_numpy().mean():9.2%} {differences[0]:>12} {differences[1]:>12} "
        f"{ratio(mine, 'sparse', way, 'bytes'):8.2f} {geometric(mine, way, 'over_sparse'):9.2f} "
        f"{geometric(mine, way, 'over_dense'):8.2f} {geometric(mine, way, 'latency_ms'):7.4f}"
    )


def _targets(mine: pl.DataFrame, network: str) -> list[str]:
    slim = mine.filter(pl.col("way") == "slim").sort("seed")
    exact = mine.filter(pl.col("way") == "exact").sort("seed")
    alone = mine.filter(pl.col("way") == "alone").sort("seed")
    surgery = slim["surgery_s"]
    whole = surgery + slim["recalibration_s"] + slim["choice_s"] + slim["export_s"]
    lines = [
        f"surgery {1000 * surgery.to_numpy().mean():.0f} ms (exact alone "
        f"{1000 * exact['surgery_s'].to_numpy().mean():.0f} ms), choice "
        f"{1000 * slim['choice_s'].to_numpy().mean():.0f} ms, recalibration "
        f"{1000 * slim['recalibration_s'].to_numpy().mean():.0f} ms, export "
        f"{1000 * slim['export_s'].to_numpy().mean():.0f} ms, brief tuning "
        f"{slim['tune_s'].to_numpy().mean():.1f} s",
        f"surgery is {(slim['train_s'] / surgery).to_numpy().mean():.0f}x faster than training to "
        f"the sparse level and {(alone['train_s'] / surgery).to_numpy().mean():.0f}x faster than "
        f"training that network alone (target: 93x); with all but tuning "
        f"{(slim['train_s'] / whole).to_numpy().mean():.0f}x and "
        f"{(alone['train_s'] / whole).to_numpy().mean():.1f}x, with tuning too "
        f"{(slim['train_s'] / (whole + slim['tune_s'])).to_numpy().mean():.1f}x and "
        f"{(alone['train_s'] / (whole + slim['tune_s'])).to_numpy().mean():.2f}x",
    ]
    if network == "vgg":
        lines.append(
            f"slim against sparse: {ratio(mine, 'sparse', 'slim', 'bytes'):.2f}x smaller "
            f"(target: 5.14x), {geometric(mine, 'slim', 'over_sparse'):.2f}x faster (1.67x)"
        )
    else:
        lines.append(
            f"slim against dense: {geometric(mine, 'slim', 'over_dense'):.2f}x faster "
            f"(target: 1.5x); zero filters alone: "
            f"{geometric(mine, 'zero filters', 'over_dense'):.2f}x (DNNShifter: 1.07x)"
        )
    return lines
