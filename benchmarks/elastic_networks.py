"""Levels to time in `benchmarks.elastic_clocks`: prefixes of one network with random weights."""

from pathlib import Path

import numpy as np

from hdap.elastic.onnx_levels import write_levels
from hdap.fleet_data.architecture import Counts
from hdap.measuring.onnx_files import to_onnx
from hdap.models.loading import load_model
from hdap.models.surgery import prune
from hdap.models.tracing import trace
from hdap.surrogate.costs import flops

STEP = 8


def write_networks(folder: Path, model: str, ratios: list[float]) -> list[float]:
    """Write `level-i.onnx` for widths of these ratios, ascending; FLOPs over dense of each.

    What was written before stays. Raises InputError where the network cannot be had.
    """
    architecture = trace(model)
    counts = [_counts(architecture.widths, ratio) for ratio in ratios]
    cost = flops(architecture, np.stack(counts))
    if not (folder / "level-0.onnx").exists():
        module = load_model(model).module
        write_levels(
            folder,
            [to_onnx(prune(module, architecture, row), architecture.input_shape) for row in counts],
        )
    dense = flops(architecture, architecture.widths[None])[0]
    return [float(x / dense) for x in cost]


def _counts(widths: Counts, ratio: float) -> Counts:
    rounded = np.maximum(np.rint(ratio * widths / STEP), 1) * STEP
    return np.asarray(np.minimum(rounded, widths), dtype=np.int64)
