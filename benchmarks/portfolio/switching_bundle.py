"""A bundle of uniformly pruned networks with random weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.elastic.networks import aligned_counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops, parameters
from hdap.networks.loading import load_model
from hdap.networks.onnx_files import to_onnx
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.portfolio.portfolio_bundle import (
    Latency,
    NetworkInput,
    PortfolioFile,
    VariantEntry,
    file_entries,
    write_rest,
)


def write_variants(folder: Path, model: str, shares: Sequence[float]) -> None:
    """Write a variant a share of the dense FLOPs; what was written before stays."""
    if (folder / "portfolio.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module, architecture = load_model(model).module, trace(model)
    counts = np.stack([aligned_counts(architecture.widths, share**0.5) for share in shares])
    # every width keeps this share of its channels, at worst of their importance
    kept = np.exp(np.log(counts / architecture.widths).mean(axis=1))
    texts = format_channels(architecture, counts)
    cost, size = flops(architecture, counts), parameters(architecture, counts)
    variants = []
    for place, row in enumerate(counts):
        path = folder / f"v{place}.onnx"
        network = to_onnx(prune(module, architecture, row), architecture.input_shape)
        path.write_bytes(network.SerializeToString(deterministic=True))
        variants.append(
            VariantEntry(
                name=f"v{place}",
                files=file_entries([path]),
                channels=texts[place],
                parameters=int(size[place]),
                bytes=path.stat().st_size,
                flops=int(cost[place]),
                kept_importance=float(kept[place]),
                accuracy=None,
                measured_here_ms=None,
                fleet_mean_ms=Latency(),
                latency_ms={},
                provenance={"from": "flops"},
            )
        )
    document = PortfolioFile(
        portfolio=0,
        model=model,
        architecture=architecture.digest,
        simulated=False,
        input=NetworkInput(architecture.one_input("a portfolio")),
        classes=1000,
        variants=tuple(variants),
    )
    write_rest(folder, document)
