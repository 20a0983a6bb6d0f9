"""The picture of the frontier: accuracy against measured latency, for a page 900 pixels wide."""

from pathlib import Path

import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.quality.figures import interval
from benchmarks.quality.frontier_plan import (
    DENSE,
    HALP,
    NCS,
    OURS,
    OURS_LATENCY,
    OURS_LOWER,
    TP_GROUP,
    TP_MAGNITUDE,
    TUNED,
    UNIFORM,
    WORDS,
)
from benchmarks.quality.picture import GREY, SETTINGS

# Okabe and Ito's colours; markers tell arms apart in grey.
STYLES = {
    UNIFORM: ("#000000", "o"),
    TP_MAGNITUDE: ("#E69F00", "^"),
    TP_GROUP: ("#D55E00", "v"),
    HALP: ("#009E73", "s"),
    NCS: ("#CC79A7", "D"),
    OURS: ("#56B4E9", "P"),
    OURS_LOWER: ("#0072B2", "X"),
    OURS_LATENCY: ("#004060", "*"),
}

FAR, MARGIN = 3.0, 0.25
"""Points below the best from which an arm is told in words: it would press all others together."""


def draw(rows: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    networks = rows["network"].unique(maintain_order=True).to_list()
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axes = plt.subplots(1, len(networks), figsize=(9, 5.2), squeeze=False)
        for axis, network in zip(axes[0], networks, strict=True):
            _panel(axis, rows.filter(network=network), network)
        handles, names = max(
            (axis.get_legend_handles_labels() for axis in axes[0]), key=lambda found: len(found[1])
        )
        figure.legend(handles, names, loc="lower center", ncols=3, frameon=False)
        seeds = rows["seed"].n_unique()
        figure.suptitle(
            "Accuracy at equal measured latency",
            x=0.02,
            ha="left",
            fontsize=11.5,
            fontweight="bold",
        )
        figure.text(
            0.02,
            0.93,
            f"Fashion-MNIST, {rows['images'][0]:,} images, means of {seeds} seed(s) with 95 % "
            "intervals; ONNX Runtime, one thread, as a share of dense.",
            ha="left",
            va="top",
            color=GREY,
        )
        figure.tight_layout(rect=(0, 0.14, 1, 0.91), w_pad=1.5)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)


def _panel(axis: Axes, rows: pl.DataFrame, network: str) -> None:
    far: list[str] = []
    shown: list[float] = []
    dense = 100.0 * rows.filter(arm=DENSE)["accuracy"].to_numpy()
    if len(dense):
        axis.axhline(float(dense.mean()), color="#999999", linestyle=":", label=WORDS[DENSE])
    for arm, (colour, marker) in STYLES.items():
        own = rows.filter(arm=arm, way=TUNED)
        points = [p for _, p in own.group_by("point", maintain_order=True)]
        if not points:
            continue
        found = [interval((100.0 * p["accuracy"]).to_list()) for p in points]
        at = [float(p["latency"].to_numpy().mean()) for p in points]
        means = [mean for mean, _ in found]
        if max(means) < 100.0 * float(rows["accuracy"].to_numpy().max()) - FAR:
            far.append(f"{WORDS[arm]}: {min(means):.1f} to {max(means):.1f} %, below")
        else:
            shown += [mean - (half if half < 100.0 else 0.0) for mean, half in found]
        axis.errorbar(
            at,
            means,
            # One seed has no interval.
            yerr=[half if half < 100.0 else 0.0 for _, half in found],
            color=colour,
            marker=marker,
            markersize=6,
            linewidth=1.2,
            label=WORDS[arm],
        )
    if far:
        axis.set_ylim(bottom=min(shown) - MARGIN)
        axis.text(0.5, 0.02, "\n".join(far), transform=axis.transAxes, ha="center", color=GREY)
    axis.set_xlabel("latency as a share of dense, measured")
    axis.set_ylabel("accuracy after tuning, %")
    axis.set_title(network.replace("fashion_", ""), loc="left", fontweight="bold", fontsize=10)
