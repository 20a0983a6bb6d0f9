"""The picture of the search benchmark, for a page 900 pixels wide."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.fleet.learning_picture import GREY, SETTINGS, TITLES
from benchmarks.search.settings import BUDGETS, LAW, MEASURED

# Okabe and Ito's colours; where two lines share one, or in grey, dashes tell them apart.
STYLES: dict[str, tuple[str, str, Any]] = {
    "fleet": ("hdap (fleet)", "#0072B2", "-"),
    "halp": ("HALP", "#D55E00", "-"),
    "netadapt": ("NetAdapt", "#D55E00", (0, (4, 2))),
    "ncs": ("HDAP's NCS", "#009E73", "-"),
    "ncs-hdap": ("NCS, HDAP's setting*", "#009E73", (0, (4, 2))),
    "nsga2": ("NSGA-II", "#CC79A7", "-"),
    "cmaes": ("CMA-ES", "#CC79A7", (0, (4, 2))),
    "gp": ("GP", "#B8860B", "-"),
    "tpe": ("TPE", "#B8860B", (0, (4, 2))),
    "random": ("random", "#777777", (0, (1, 1.5))),
}
SOURCES = {
    MEASURED: "measured fleet; predicted",
    "microfleet": "simulated measurements; true",
    f"microfleet{LAW}": "simulated law itself; true",
}
LABEL_GAP = 0.052
"""Least distance between two labels, in heights of a panel."""
TOP = 0.96
"""Where the uppermost label ends."""


def draw(curves: pl.DataFrame, table: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    names = table["setting"].unique(maintain_order=True).to_list()
    rows = -(-len(names) // 2)
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        height = 1.0 + 3.9 * rows
        figure, axes = plt.subplots(rows, min(len(names), 2), figsize=(10.5, height), squeeze=False)
        for axis, name in zip(axes.flat, names, strict=False):
            mine = (frame.filter(pl.col("setting") == name) for frame in (curves, table))
            _panel(axis, name, *mine)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel("seconds of search (log scale)")
        for axis in axes[:, 0]:
            axis.set_ylabel("fleet latency of the best answer so far, ms (log scale)")
        seeds = int(table["seeds"].to_numpy().max())
        figure.suptitle(
            _headline(table), x=0.02, y=1 - 0.12 / height, ha="left", fontsize=13, weight="bold"
        )
        small = (
            f"Best feasible answer at equal FLOPs and kept importance: median of {seeds} seeds, "
            "shaded from the worst to the best.\nAll base lines get the same start, repair and "
            f"latency functions. {_footnote(table)}"
        )
        figure.text(0.02, 1 - 0.44 / height, small, ha="left", va="top", color=GREY)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / height), h_pad=1.6, w_pad=1.2)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=130)
        plt.close(figure)


def _headline(table: pl.DataFrame) -> str:
    first = table["setting"][0]
    mine = table.filter(pl.col("setting") == first)
    ours = mine.filter(pl.col("sampler") == "fleet")
    if ours.is_empty():
        return "Searches by time"
    gain = ours["uniform_ms"].item() / ours["seconds_ms"].item()
    others = mine.filter(~pl.col("sampler").is_in(["fleet", "ncs-hdap"]))
    best = others.sort("seconds_ms").row(0, named=True)
    theirs = best["uniform_ms"] / best["seconds_ms"]
    model = TITLES[first.partition(":")[0]]
    return (
        f"{model} in {best['seconds']:g} s: {gain:.2f}x faster than uniform pruning by prediction, "
        f"{STYLES[best['sampler']][0]} {theirs:.2f}x"
    )


def _footnote(table: pl.DataFrame) -> str:
    theirs = table.filter(pl.col("sampler") == "ncs-hdap")
    if theirs.is_empty():
        return ""
    row = theirs.row(0, named=True)
    return f"*keeps {row['kept']:.2f} of importance where all others keep {row['floor']:.2f}."


def _panel(axis: Axes, name: str, curves: pl.DataFrame, table: pl.DataFrame) -> None:
    model, _, source = name.partition(":")
    title = f"{TITLES[model]}, {BUDGETS[model]}: {SOURCES.get(source, source)}"
    axis.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axis.set_xscale("log")
    axis.set_yscale("log")
    uniform = float(table["uniform_ms"][0])
    ends = [(uniform, "uniform pruning", GREY, False)]
    axis.axhline(uniform, color=GREY, linestyle=(0, (4, 3)), linewidth=1.0)
    for kind, (label, colour, dashes) in STYLES.items():
        mine = curves.filter(pl.col("sampler") == kind)
        if mine.is_empty():
            continue
        x, y, low, high = (mine[c].to_numpy() for c in ("seconds", "ms", "ms_low", "ms_high"))
        ours = kind == "fleet"
        axis.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
        axis.plot(
            x,
            y,
            color=colour,
            linestyle=dashes,
            linewidth=2.8 if ours else 1.5,
            marker="o",
            markevery=[0],
            markersize=6 if ours else 3.5,
            zorder=4 if ours else 3,
        )
        ends.append((float(y[-1]), label, colour, ours))
    last = float(curves["seconds"].to_numpy().max())
    axis.set_xlim(float(curves["seconds"].to_numpy().min()), last)
    _scale(axis, curves, uniform)
    _labels(axis, ends)


def _scale(axis: Axes, curves: pl.DataFrame, uniform: float) -> None:
    """Round ticks over what is drawn; a start far above uniform pruning is cut off."""
    low = float(curves["ms_low"].to_numpy().min())
    bottom, top = low / 1.01, uniform * 1.03
    axis.set_ylim(bottom, top)
    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if (top - bottom) / s < 9)
    ticks = np.arange(np.ceil(bottom / step), top / step) * step
    axis.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.xaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _labels(axis: Axes, ends: list[tuple[float, str, str, bool]]) -> None:
    """Names at the ends of the lines, moved apart where they would touch."""
    bottom, top = np.log(axis.get_ylim())
    ordered = sorted(ends)
    place = [float(np.clip((np.log(y) - bottom) / (top - bottom), 0, TOP)) for y, *_ in ordered]
    for i in range(1, len(place)):
        place[i] = max(place[i], place[i - 1] + LABEL_GAP)
    over = max(place[-1] - TOP, 0.0)
    for i in range(len(place) - 1, -1, -1):
        limit = place[i + 1] - LABEL_GAP if i + 1 < len(place) else place[-1] - over
        place[i] = min(place[i], limit)
    for at, (y, label, colour, ours) in zip(place, ordered, strict=True):
        axis.annotate(
            f"{label} {y:.2f}",
            (1.0, at),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            fontweight="bold" if ours else "normal",
        )
