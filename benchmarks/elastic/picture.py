"""The picture of levels against networks trained for one size alone, 900 pixels wide."""

from pathlib import Path

import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt

from benchmarks.fleet.learning_picture import GREY, SETTINGS

# Okabe and Ito's colours: told apart by colour-blind readers, and by marker in grey.
STYLES = {
    "alone": ("a network for each size", GREY, "x"),
    "nested": ("nested", "#0072B2", "o"),
    "masked": ("masked", "#D55E00", "s"),
    "incremental": ("incremental", "#009E73", "^"),
}


def draw_accuracy(found: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png: a point for each seed and a line through means."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
        for place, (way, (name, colour, marker)) in enumerate(STYLES.items()):
            part = found.filter(pl.col("way") == way).sort("level")
            if part.is_empty():
                continue
            means = part.group_by("level", maintain_order=True).agg(
                pl.col("flops").mean(), pl.col("accuracy").mean()
            )
            shift = 0.6 * (place - 1.5)
            axes.plot(
                100 * part["flops"] + shift, 100 * part["accuracy"], marker, color=colour, ms=3,
                alpha=0.45,
            )  # fmt: skip
            axes.plot(
                100 * means["flops"], 100 * means["accuracy"], marker=marker, color=colour,
                label=name, lw=1.5,
            )  # fmt: skip
        axes.set_xlabel("FLOPs of the level, % of dense")
        axes.set_ylabel("accuracy on validation images, %")
        axes.legend(frameon=False, loc="lower right")
        for ending in ("svg", "png"):
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(stem.with_suffix(f".{ending}"), dpi=100, metadata=metadata)
        plt.close(figure)
