"""The picture of `benchmarks.elastic.clocks`: latency through a staircase of clocks."""

from pathlib import Path

import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt

from benchmarks.fleet.learning_picture import GREY, SETTINGS, TITLES

COLOURS = {
    "dense": "#D55E00",
    "fixed pruned": "#E69F00",
    "elastic, clock known": "#0072B2",
    "elastic, own latencies": "#56B4E9",
}
WINDOW = 5


def draw(model: str, target: float, line: pl.DataFrame, spread: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png: a time line of latencies, and the clock below."""
    factor = dict(spread.select("run", "spread").iter_rows())
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, (top, bottom) = plt.subplots(
            2, 1, figsize=(9, 5), sharex=True, height_ratios=(4, 1)
        )
        for run, colour in COLOURS.items():
            rows = line.filter(pl.col("run") == run).sort("seconds")
            ms = rows["ms"].rolling_median(WINDOW, min_samples=1)
            label = f"{run}: max/min {factor[run]:.2f}"
            top.plot(rows["seconds"], ms, color=colour, linewidth=1.4, label=label)
        top.axhline(target, color="black", linewidth=0.8, linestyle=":")
        top.set_ylabel("ms an inference")
        top.set_ylim(0)
        legend = top.legend(
            loc="lower left", ncol=2, frameon=False, bbox_to_anchor=(-0.01, 1.0), fontsize=9
        )
        legend.set_in_layout(False)
        rows = line.filter(pl.col("run") == "dense").sort("seconds")
        bottom.step(rows["seconds"], 100 * rows["clock"], color=GREY, where="post")
        bottom.set_ylabel("clock, %")
        bottom.set_ylim(0, 110)
        bottom.set_xlabel("seconds")
        title = f"{TITLES.get(model, model)} through a staircase of clocks, measured"
        figure.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
        words = f"CPU quotas play the clock; dotted: the target. Medians of {WINDOW} inferences."
        figure.text(0.02, 0.925, words, ha="left", va="top", color=GREY)
        figure.tight_layout(rect=(0, 0, 1, 0.86))
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)
