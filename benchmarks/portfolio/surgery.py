"""How long a sparse network of real size takes to become a dense one.

    python -m benchmarks.portfolio.surgery [--models resnet18,resnet50,...] [--runs 5]

Random weights; a tenth of them stays, and a fifth of the filters, chosen at random, is zero, as
late levels of magnitude pruning have it. One thread. `densify` is told the channel graph, which is
the same for all variants of a model and is made once (its own column). Each result is compared with
the sparse network by `densify` itself; that comparison is not in the times.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

from hdap.networks.following import follow_channels
from hdap.networks.loading import load_model
from hdap.networks.tracing import describe
from hdap.portfolio.densify import densify

MODELS = "resnet18,resnet50,mobilenetv1_100,mobilenetv2_100,efficientnet_b0,densenet121"
LEFT, ZERO_FILTERS = 0.1, 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS, help="timm names, by commas")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':>18} {'parameters':>11} {'graph s':>8} {'surgery s':>10} {'removed':>15}")
    for model in options.models.split(","):
        loaded = load_model(model)
        network, shape = loaded.module, loaded.input_shape
        make_sparse(network, seed=0)
        architecture = describe(network, model, shape)
        graphs, seconds = [], []
        for _ in range(options.runs):
            began = time.perf_counter()
            graph = follow_channels(network, shape)
            graphs.append(time.perf_counter() - began)
            made = densify(network, architecture, graph=graph)
            seconds.append(made.seconds)
        size = sum(p.numel() for p in network.parameters())
        print(
            f"{model:>18} {size / 1e6:9.1f} M {np.median(graphs):8.3f} {np.median(seconds):10.3f} "
            f"{made.removed:7,} of {int(architecture.widths.sum()):,}",
            flush=True,
        )


@torch.no_grad()
def make_sparse(network: nn.Module, seed: int) -> None:
    """Set random weights and filters to zero, in place, and give batch norms numbers of use."""
    rng = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight
            weight *= torch.rand(weight.shape, generator=rng) < LEFT
            weight[torch.rand(len(weight), generator=rng) < ZERO_FILTERS] = 0.0
        elif isinstance(layer, nn.BatchNorm2d):
            layer.bias.uniform_(-0.5, 0.5, generator=rng)


if __name__ == "__main__":
    main()
