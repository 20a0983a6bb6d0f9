"""The picture of `benchmarks.portfolio.build`: accuracy against latency and size."""

from pathlib import Path

import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.fleet.learning_picture import GREY, SETTINGS
from benchmarks.portfolio.table import geometric, ratio

# Okabe and Ito's colours: told apart by colour-blind readers, and by marker in grey.
STYLES = {
    "dense": ("dense", "#000000", "s"),
    "sparse": ("sparse, as dense tensors", GREY, "x"),
    "zero filters": ("zero filters gone (DNNShifter's rule)", "#D55E00", "v"),
    "exact": ("hdap, exact: same outputs", "#56B4E9", "o"),
    "slim": ("hdap, slim and briefly tuned", "#0072B2", "o"),
    "alone": ("as slim, trained alone", "#009E73", "^"),
}
TITLES = {
    "vgg": "plain convolutions (VGG-like)",
    "resnet": "residual network",
    "fashion": "residual network, photographs",
}


def draw(found: pl.DataFrame, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png: small points are seeds, large ones their means."""
    networks = [name for name in TITLES if name in found["network"].to_list()]
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure, axes = plt.subplots(len(networks), 2, figsize=(9, 3.2 * len(networks) + 1.4),
                                    squeeze=False, sharey="row")  # fmt: skip
        for row, network in enumerate(networks):
            mine = found.filter(pl.col("network") == network)
            _points(axes[row, 0], mine, "latency_ms", 1.0)
            _points(axes[row, 1], mine, "bytes", 1e-6)
            axes[row, 0].set_ylabel("accuracy, %")
            axes[row, 0].set_title(TITLES[network], loc="left", fontsize=10)
        axes[-1, 0].set_xlabel("latency, ms (ONNX Runtime, one thread)")
        axes[-1, 1].set_xlabel("file, MB")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncol=3, frameon=False)
        figure.suptitle(_headline(found, networks), x=0.02, ha="left", fontsize=12)
        figure.tight_layout(rect=(0, 0.5 / figure.get_figheight(), 1, 0.99))
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        plt.close(figure)


def _points(axis: Axes, mine: pl.DataFrame, column: str, scale: float) -> None:
    for way, (name, colour, marker) in STYLES.items():
        part = mine.filter(pl.col("way") == way)
        x, y = scale * part[column].to_numpy(), 100 * part["accuracy"].to_numpy()
        axis.scatter(x, y, s=14, marker=marker, color=colour, alpha=0.4)
        axis.scatter(x.mean(), y.mean(), s=80, marker=marker, color=colour, label=name, zorder=3)
    axis.set_xlim(left=0)


def _headline(found: pl.DataFrame, networks: list[str]) -> str:
    said = []
    for network in networks:
        mine = found.filter(pl.col("network") == network)
        other = "sparse" if network == "vgg" else "dense"
        said.append(
            f"{TITLES[network].partition(' (')[0]}: "
            f"{geometric(mine, 'slim', f'over_{other}'):.1f}x as fast and "
            f"{ratio(mine, other, 'slim', 'bytes'):.1f}x smaller than {other}"
        )
    return "\n".join(said)
