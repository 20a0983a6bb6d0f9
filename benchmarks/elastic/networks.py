"""Levels to time in `benchmarks.elastic.clocks`: prefixes of one network with random weights.

Each level has norms of its own, as a trained one has.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from hdap.elastic.onnx_levels import write_levels
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.networks.loading import load_model
from hdap.networks.onnx_files import to_onnx
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace

STEP = 8


def write_networks(folder: Path, model: str, ratios: list[float]) -> list[float]:
    """Write `level-i.onnx` for widths of these ratios, ascending; FLOPs over dense of each.

    Over one file of weights in `folder`, and each by itself in `alone(folder)`. What was written
    before stays. Raises InputError where the network cannot be had.
    """
    architecture = trace(model)
    counts = [aligned_counts(architecture.widths, ratio) for ratio in ratios]
    cost = flops(architecture, np.stack(counts))
    if not (folder / "level-0.onnx").exists():
        module, rng = load_model(model).module, torch.Generator().manual_seed(0)
        networks = [prune(module, architecture, row) for row in counts]
        for norm in (m for n in networks for m in n.modules() if isinstance(m, nn.BatchNorm2d)):
            assert norm.running_var is not None
            norm.running_var.uniform_(0.5, 2.0, generator=rng)
        written = [to_onnx(n, architecture.input_shape) for n in networks]
        alone(folder).mkdir(parents=True, exist_ok=True)
        for level, network in enumerate(written):
            onnx.save(network, alone(folder) / f"level-{level}.onnx")
        write_levels(folder, written)
    dense = flops(architecture, architecture.widths[None])[0]
    return [float(x / dense) for x in cost]


def alone(folder: Path) -> Path:
    """Where the same networks lie with their weights inside."""
    return folder.with_name(f"{folder.name}-alone")


def aligned_counts(widths: Counts, ratio: float) -> Counts:
    """Every group at this share of its width, in whole multiples of `STEP`."""
    rounded = np.maximum(np.rint(ratio * widths / STEP), 1) * STEP
    return np.asarray(np.minimum(rounded, widths), dtype=np.int64)
