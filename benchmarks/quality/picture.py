"""The picture of the study of proxies, for a page 900 pixels wide."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.quality.figures import against_uniform_figures, interval, taus
from benchmarks.quality.search import UNIFORM

# Okabe and Ito's colours: told apart by colour-blind readers, and by marker in grey.
STYLES = {
    "small_resnet": ("residual network", "#0072B2", "o"),
    "small_mobilenet": ("MobileNet-like", "#D55E00", "s"),
}
GREY = "#555555"
APART = 0.16
"""Between the marks of two networks, in rows."""
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "grid.color": "#E8E8E8",
    "svg.hashsalt": "hdap",
    "svg.fonttype": "none",
}


def draw(rows: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axes = plt.subplots(1, 2, figsize=(9, 6.4), width_ratios=(1.25, 1))
        best = _proxies(axes[0], rows)
        _found(axes[1], rows)
        seeds = rows["seed"].n_unique()
        figure.suptitle(
            f"What foretells the quality after fine-tuning? {best}",
            x=0.02,
            ha="left",
            fontsize=11.5,
            fontweight="bold",
        )
        figure.text(
            0.02,
            0.95,
            f"Handwritten digits, {seeds} seeds of data, weights and configurations at equal FLOPs."
            " Bars: 95 % intervals of the\nmean over seeds. Latencies behind the right panel are "
            "simulated; `rule`: no group below half of uniform's share.",
            ha="left",
            va="top",
            color=GREY,
        )
        figure.tight_layout(rect=(0, 0, 1, 0.92), w_pad=1.5)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)


def _proxies(axis: Axes, rows: pl.DataFrame) -> str:
    """Kendall's tau with the loss after fine-tuning, best proxy on top; says which it is."""
    every = taus(rows).filter(pl.col("target") == "loss")
    order = every.group_by("proxy").agg(pl.col("tau").mean()).sort("tau")["proxy"].to_list()
    for number, (network, (title, colour, marker)) in enumerate(STYLES.items()):
        for place, name in enumerate(order):
            chosen = (pl.col("network") == network) & (pl.col("proxy") == name)
            _mark(axis, every.filter(chosen)["tau"].to_list(), place, number, (colour, marker))
        axis.plot([], [], color=colour, marker=marker, linestyle="", label=title)
    axis.set_yticks(range(len(order)), order)
    axis.axvline(0.0, color="#999999", linewidth=1.0)
    axis.set_xlabel("Kendall's tau with minus the loss")
    axis.set_title("proxies", loc="left", fontweight="bold", fontsize=10)
    axis.legend(loc="lower right", frameon=False)
    free = [name for name in order if not name.startswith("un-tuned")][-1]
    return f"Best without running: {free}"


def _found(axis: Axes, rows: pl.DataFrame) -> None:
    """Accuracy of what the search found, less that of uniform pruning."""
    names = [n for n in rows["name"].unique(maintain_order=True) if not n.startswith("drawn")]
    names = [n for n in names[::-1] if n != UNIFORM]
    for number, (network, (_, colour, marker)) in enumerate(STYLES.items()):
        for place, name in enumerate(names):
            values = against_uniform_figures(rows, network, name)
            _mark(axis, [100 * v for v in values], place, number, (colour, marker))
    axis.set_yticks(range(len(names)), names)
    axis.axvline(0.0, color="#999999", linewidth=1.0)
    axis.set_xlabel("points of accuracy over uniform")
    axis.set_title("found, by floor", loc="left", fontweight="bold", fontsize=10)


def _mark(axis: Axes, values: list[float], place: int, number: int, style: tuple[str, str]) -> None:
    if not values:
        return
    mean, half = interval(values)
    colour, marker = style
    at = place + APART * (0.5 - number) * 2
    axis.errorbar(mean, at, xerr=half, color=colour, marker=marker, markersize=5, linewidth=1.4)
