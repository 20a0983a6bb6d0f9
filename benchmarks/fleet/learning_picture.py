"""The picture of the learning curve, for a page 900 pixels wide."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

# Okabe and Ito's colours: told apart by colour-blind readers, and by marker in grey.
STYLES = {
    "fleet": ("hdap", "#0072B2", "o"),
    "roofline": ("roofline", "#D55E00", "s"),
    "hdap-gbrt": ("HDAP's trees", "#009E73", "^"),
    "xgboost-ratios": ("XGBoost", "#AA4499", "D"),
}
TITLES = {"resnet50": "ResNet-50", "mobilenetv1_100": "MobileNetV1"}
GREY = "#555555"
ALL = 10_000
SHOWN = 50
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "grid.color": "#E8E8E8",
    "svg.hashsalt": "hdap",
    "svg.fonttype": "none",  # text stays text: a sixth of the size
}


def draw(figures: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    models = [m for m in TITLES if m in figures["model"].to_list()]
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axes = plt.subplots(
            3, len(models), figsize=(9, 8.2), height_ratios=(3.2, 1.4, 1.1), squeeze=False
        )
        for column, model in enumerate(models):
            mine = figures.filter(pl.col("model") == model)
            _error(axes[0, column], mine, TITLES[model])
            _rank(axes[1, column], mine)
            _coverage(axes[2, column], mine)
            for axis in axes[:, column]:
                _sizes(axis, mine)
            axes[2, column].set_xlabel("measurements a cluster")
            for axis in axes[:, 1:].flat:
                axis.set_ylabel("")
        low = figures.filter(pl.col("kind").is_in(list(STYLES)))["kendall_tau"].to_numpy().min()
        for axis in axes[1]:
            axis.set_ylim(np.floor(10 * low) / 10, 1.0)
        figure.suptitle(_headline(figures), x=0.02, ha="left", fontsize=13, fontweight="bold")
        figure.text(0.02, 0.945, _small_print(figures), ha="left", va="top", color=GREY)
        figure.tight_layout(rect=(0, 0, 1, 0.9), h_pad=1.2, w_pad=1.5)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)


def _headline(figures: pl.DataFrame) -> str:
    def at(kind: str) -> float:
        chosen = (pl.col("kind") == kind) & (pl.col("size") == SHOWN)
        return 100 * float(figures.filter(chosen & (pl.col("model") == "resnet50"))["mape"].item())

    return (
        f"{SHOWN} measurements a cluster leave {at('fleet'):.1f} % error on ResNet-50; "
        f"HDAP's trees {at('hdap-gbrt'):.0f} %"
    )


def _small_print(figures: pl.DataFrame) -> str:
    seeds = int(figures["seeds"].to_numpy().max())
    return (
        "Every latency was measured; errors are on configurations that no cluster has shown. Means "
        f"of {seeds} random splits,\nshaded: the middle 80 % of them. HDAP's trees and XGBoost "
        "learn from pruning ratios. No model can be\nbetter than the measurements' own noise."
    )


def _error(axis: Axes, figures: pl.DataFrame, title: str) -> None:
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_yscale("log")
    ends = []
    for kind, (name, colour, _) in STYLES.items():
        mine = figures.filter(pl.col("kind") == kind)
        x, y = np.arange(len(mine)), 100 * mine["mape"].to_numpy()
        low, high = (100 * mine[c].to_numpy() for c in ("mape_low", "mape_high"))
        axis.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        _line(axis, x, y, kind)
        ends.append((float(y[-1]), f"{name} {y[-1]:.1f} %", colour))
    chosen = (figures["kind"] == "fleet") & (figures["size"] == ALL)
    floor = 100 * float(figures.filter(chosen)["noise_floor"].item())
    axis.axhline(floor, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2)
    ends.append((floor, f"noise {floor:.1f} %", GREY))
    axis.set_ylim(1.4, 52)
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_yticks([2, 3, 5, 10, 20, 40])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f} %"))
    axis.set_ylabel("held-out error (MAPE, log scale)")
    _newcomer(axis, figures, named=title == TITLES["resnet50"])
    _end_labels(axis, len(figures.filter(pl.col("kind") == "fleet")) - 1, ends)


def _newcomer(axis: Axes, figures: pl.DataFrame, named: bool) -> None:
    """The error of a cluster with few rows of its own among others that have all."""
    sizes = figures.filter(pl.col("kind") == "fleet")["size"].to_list()
    mine = figures.filter((pl.col("kind") == "fleet, newcomer") & pl.col("size").is_in(sizes))
    x, y = [sizes.index(s) for s in mine["size"]], 100 * mine["mape"].to_numpy()
    colour = STYLES["fleet"][1]
    axis.plot(x, y, color=colour, linestyle=":", marker="o", markerfacecolor="white", markersize=5)
    if not named:
        return
    axis.annotate(
        "dotted: a new cluster among known ones",
        (x[0], y[0]),
        xytext=(-4, -17),
        textcoords="offset points",
        color=colour,
        fontsize=8.5,
    )


def _rank(axis: Axes, figures: pl.DataFrame) -> None:
    for kind in STYLES:
        mine = figures.filter(pl.col("kind") == kind)
        _line(axis, np.arange(len(mine)), mine["kendall_tau"].to_numpy(), kind)
    axis.set_ylabel("Kendall's tau")


def _coverage(axis: Axes, figures: pl.DataFrame) -> None:
    axis.axhspan(85, 95, color="#EEEEEE", linewidth=0, zorder=0)
    axis.axhline(90, color=GREY, linestyle=(0, (4, 3)), linewidth=1.0)
    for kind in STYLES:
        mine = figures.filter(pl.col("kind") == kind)
        _line(axis, np.arange(len(mine)), 100 * mine["coverage"].to_numpy(), kind)
    axis.set_ylim(80, 100)
    axis.set_yticks([80, 85, 90, 95, 100])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f} %"))
    axis.set_ylabel("in 90 % interval")


def _line(axis: Axes, x: np.ndarray, y: np.ndarray, kind: str) -> None:
    _, colour, marker = STYLES[kind]
    ours = kind == "fleet"
    axis.plot(
        x,
        y,
        color=colour,
        marker=marker,
        linewidth=2.6 if ours else 1.4,
        markersize=6 if ours else 4.5,
        zorder=4 if ours else 3,
    )


def _sizes(axis: Axes, figures: pl.DataFrame) -> None:
    """Sizes at equal distances: each is about twice the one before."""
    sizes = figures.filter(pl.col("kind") == "fleet")["size"]
    axis.set_xticks(range(len(sizes)), ["all" if s == ALL else str(s) for s in sizes])
    axis.set_xlim(-0.2, len(sizes) - 0.85)


def _end_labels(axis: Axes, x: float, ends: list[tuple[float, str, str]]) -> None:
    """Names at the ends of the lines, moved apart where they would touch (log scale)."""
    ordered = sorted(ends)
    place = [np.log(y) for y, _, _ in ordered]
    for i in range(1, len(place)):
        place[i] = max(place[i], place[i - 1] + 0.2)
    for at, (_, text, colour) in zip(place, ordered, strict=True):
        axis.annotate(
            text,
            (x, float(np.exp(at))),
            xytext=(9, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
            fontweight="bold" if text.startswith("hdap") else "normal",
        )
