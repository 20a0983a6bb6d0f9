"""A bundle of uniformly pruned networks with random weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.elastic.networks import aligned_counts
from hdap.elastic.level_file import file_digest
from hdap.fleet_data.costs import flops, parameters
from hdap.networks.loading import load_model
from hdap.networks.onnx_files import to_onnx
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.portfolio.portfolio_bundle import file_entries, write_rest


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
    cost, size = flops(architecture, counts), parameters(architecture, counts)
    variants = []
    for place, row in enumerate(counts):
        path = folder / f"v{place}.onnx"
        network = to_onnx(prune(module, architecture, row), architecture.input_shape)
        path.write_bytes(network.SerializeToString(deterministic=True))
        variants.append(
            {
                "name": f"v{place}",
                "files": file_entries([path]),
                "parameters": int(size[place]),
                "bytes": path.stat().st_size,
                "flops": int(cost[place]),
                "kept_importance": float(kept[place]),
                "accuracy": None,
                "measured_here_ms": None,
                "latency_ms": {},
                "provenance": {"from": "flops"},
            }
        )
    document = {
        "format": 1,
        "kind": "hdap portfolio",
        "portfolio": 0,
        "model": model,
        "architecture": architecture.digest,
        "simulated": False,
        "input": {"name": "input", "shape": list(architecture.input_shape)},
        "classes": 1000,
        "variants": variants,
    }
    write_rest(folder, document | {"digest": file_digest(document)})
