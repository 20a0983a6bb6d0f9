"""The picture of the proof: speed-ups over dense under each condition, for a page 900 px wide."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.fleet.learning_picture import GREY, SETTINGS
from benchmarks.proof.loop import ANY_WIDTH, EIGHTS, OURS, UNIFORM
from benchmarks.proof.table import FLEET

COLOURS = {ANY_WIDTH: "#E69F00", EIGHTS: "#CC79A7", UNIFORM: "#D55E00", OURS: "#0072B2"}
WIDTH = 0.21


def draw(table: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axis = plt.subplots(figsize=(9, 4.8))
        for place, name in enumerate(COLOURS):
            _bars(axis, table.filter(pl.col("network") == name), place, name)
        rows = table.filter(pl.col("network") == OURS)
        names = rows.select("condition", "words").iter_rows()
        said = [f"{name}\n{words}".replace(", ", "\n") for name, words in names]
        axis.set_xticks(np.arange(len(said)), said)
        axis.set_ylabel("times as fast as the dense network")
        axis.grid(axis="x", visible=False)
        axis.set_axisbelow(True)
        axis.set_xlim(-0.5, len(said) - 0.5)
        legend = axis.legend(
            loc="lower left", ncol=5, frameon=False, bbox_to_anchor=(-0.01, 1.0), fontsize=9
        )
        legend.set_in_layout(False)
        figure.suptitle(_headline(table), x=0.02, ha="left", fontsize=13, fontweight="bold")
        figure.text(0.02, 0.925, _small_print(table), ha="left", va="top", color=GREY)
        figure.tight_layout(rect=(0, 0, 1, 0.875))
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)


def _bars(axis: Axes, rows: pl.DataFrame, place: int, name: str) -> None:
    x = np.arange(len(rows)) + (place - 1.5) * WIDTH
    value, low, high, told = (
        rows[f"{column}"].to_numpy()
        for column in (
            "measured_over_dense",
            "measured_over_dense_low",
            "measured_over_dense_high",
            "predicted_over_dense",
        )
    )
    around = np.stack([value - low, high - value])
    axis.bar(x, value, WIDTH * 0.92, color=COLOURS[name], label=name)
    axis.errorbar(x, value, around, fmt="none", ecolor="black", elinewidth=1.2, capsize=2.5)
    marks = axis.scatter(
        x, told, marker="D", s=26, facecolor="white", edgecolor="black", linewidth=1, zorder=3
    )
    if name == OURS:
        marks.set_label("predicted")
    for at, figure in zip(x, value, strict=True):
        axis.text(at, 0.08, f"{figure:.2f}", ha="center", va="bottom", color="white", fontsize=7.5)


def _headline(table: pl.DataFrame) -> str:
    ours = table.filter((pl.col("condition") == FLEET) & (pl.col("network") == OURS)).to_dicts()[0]
    return (
        f"{ours['model']}, measured over the fleet: {ours['measured_over_dense']:.2f}x as fast as "
        f"dense, {ours['measured_over_uniform']:.2f}x as fast as the best uniform"
    )


def _small_print(table: pl.DataFrame) -> str:
    row = table.row(0, named=True)
    return (
        f"{row['cpu']}, {row['runtime']}; one machine plays all conditions. Bars: medians with "
        "95 % intervals,\nmeasured in one interleaved run a condition; diamonds: predicted before. "
        "Best uniform: of multiples of 1, 4, ..., 64 within the budget."
    )
