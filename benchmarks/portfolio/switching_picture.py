"""The picture of swapping variants, 900 pixels wide."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.fleet.learning_picture import GREY, SETTINGS

# Okabe and Ito's colours: told apart by colour-blind readers, and by dashes in grey.
COLOURS = {
    "switcher": ("#0072B2", "-"),
    "all resident": (GREY, (0, (1, 1))),
    "on demand": ("#D55E00", "--"),
    "on demand, mapped": ("#009E73", "-."),
    "dense": ("#D55E00", "--"),
}


def draw(figures: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = plt.figure(figsize=(9, 8), layout="constrained")
        grid = figure.add_gridspec(3, 2, height_ratios=(1.5, 1.2, 0.8))
        _latencies(figure.add_subplot(grid[0, 0]), _part(figures, "quantiles"))
        _memory(figure.add_subplot(grid[0, 1]), _part(figures, "memory"))
        above = figure.add_subplot(grid[1, :])
        _day(above, _part(figures, "day"))
        _variants(figure.add_subplot(grid[2, :], sharex=above), _part(figures, "day"))
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=100)
        plt.close(figure)


def _part(figures: pl.DataFrame, part: str) -> pl.DataFrame:
    return figures.filter(pl.col("part") == part)


def _series(figures: pl.DataFrame, way: str, figure: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = figures.filter((pl.col("way") == way) & (pl.col("figure") == figure)).sort("at")
    return chosen["at"].to_numpy(), chosen["value"].to_numpy()


def _latencies(axis: Axes, figures: pl.DataFrame) -> None:
    for way, (colour, dashes) in COLOURS.items():
        share, ms = _series(figures, way, "ms")
        if len(share):
            axis.plot(ms, 100 * share, color=colour, linestyle=dashes, label=way)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("latency of a request, ms (log scale)")
    axis.set_ylabel("requests within it, %")
    axis.set_title("Requests while variants are swapped", loc="left", fontweight="bold")
    axis.legend(frameon=False, loc="lower right")


def _memory(axis: Axes, figures: pl.DataFrame) -> None:
    for way, name in (
        ("switcher", "v{:.0f}"),
        ("all resident", "all"),
        ("all resident, mapped", "all,\nin files"),
    ):
        places, rss = _series(figures, way, "rss")
        names = [name.format(place) for place in places]
        colour = COLOURS["switcher" if way == "switcher" else "all resident"][0]
        axis.bar(names, rss, color=colour, alpha=0.45)
        axis.bar(names, _series(figures, way, "anonymous")[1], color=colour)
    axis.set_ylabel("MiB resident (dark: not in files)")
    axis.set_title("Memory with each variant", loc="left", fontweight="bold")


def _day(axis: Axes, figures: pl.DataFrame) -> None:
    for way in ("dense", "switcher"):
        colour, dashes = COLOURS[way]
        at, ms = _series(figures, way, "p95")
        axis.plot(at, ms, color=colour, linestyle=dashes, label=f"{way}: p95 of half a second")
    _, deadline = _series(figures, "load", "deadline")
    axis.axhline(float(deadline[0]), color="#999999", linestyle=":", label="deadline")
    pressed, _ = _series(figures, "load", "pressure")
    axis.axvspan(*pressed, color="#F0E442", alpha=0.25, linewidth=0, label="little memory")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axis.set_ylim(top=8 * axis.get_ylim()[1])
    axis.set_ylabel("ms (log scale)")
    axis.set_title("A day with a burst and a shortage of memory", loc="left", fontweight="bold")
    axis.legend(frameon=False, loc="upper left", ncols=4)


def _variants(axis: Axes, figures: pl.DataFrame) -> None:
    at, rate = _series(figures, "load", "rate")
    axis.fill_between(at, rate, color="#CCCCCC", linewidth=0)
    axis.set_ylabel("requests/s (grey)")
    axis.set_xlabel("seconds")
    right = axis.twinx()
    at, place = _series(figures, "switcher", "variant")
    right.step(at, place, where="post", color=COLOURS["switcher"][0])
    right.set_ylabel("variant of the switcher")
    right.grid(False)
    right.spines["right"].set_visible(True)
