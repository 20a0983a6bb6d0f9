"""Proxies of quality that are compared: a name and one number a configuration, more is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, layer_channels, layer_macs, parameters
from hdap.fleet_data.records import Floats
from hdap.search.problem.proxies import PROXIES

CHANNELS = "channels"
CRITERIA = ("l1", "l2", "bn_scale", "taylor")


@dataclass(frozen=True)
class Kept:
    """What n configurations keep of a network, before anything is trained.

    `shares` holds the share (`n x groups`, 0..1) of all importance that is kept in each width
    group, by criterion; `channels` counts every channel alike.
    """

    architecture: Architecture
    counts: Counts
    shares: Mapping[str, Floats]

    @classmethod
    def of(
        cls, architecture: Architecture, counts: Counts, curves: Mapping[str, Sequence[Floats]]
    ) -> "Kept":
        """From importance curves of each criterion (`hdap.networks.channel_importance`)."""
        shares = {
            name: np.stack([curve[c] for curve, c in zip(own, counts.T, strict=True)], axis=1)
            for name, own in curves.items()
        }
        return cls(architecture, counts, shares | {CHANNELS: counts / architecture.widths})


def geometric(shares: Floats) -> Floats:
    """Mean of logarithms over groups."""
    return np.asarray(np.log(shares).mean(axis=1))


def harmonic(shares: Floats) -> Floats:
    """Harmonic mean over groups."""
    return np.asarray(1.0 / (1.0 / shares).mean(axis=1))


def arithmetic(shares: Floats) -> Floats:
    """Arithmetic mean over groups."""
    return np.asarray(shares.mean(axis=1))


def narrowest(shares: Floats) -> Floats:
    """The group that keeps least."""
    return np.asarray(shares.min(axis=1))


def summed(kept: Kept, criterion: str) -> Floats:
    """Scores of all channels that stay, added up; the mean score of every group is 1."""
    widths = kept.architecture.widths
    return np.asarray(kept.shares[criterion] @ widths / widths.sum())


def balance(kept: Kept) -> Floats:
    """Evenness of FLOPs: minus the Kullback-Leibler divergence of the layers' shares of FLOPs in
    the dense network from those in the pruned one; 0 where every layer is cut alike."""
    dense = layer_macs(kept.architecture, kept.architecture.widths[None])[0]
    busy = dense > 0
    before = dense[busy] / dense.sum()
    macs = layer_macs(kept.architecture, kept.counts)[:, busy]
    after = macs / macs.sum(axis=1, keepdims=True)
    return np.asarray((before * np.log(after / before)).sum(axis=1))


def neighbours(kept: Kept) -> Floats:
    """How alike neighbouring widths are cut: minus the mean over layers of how much (in the
    logarithm) outputs are cut more or less than inputs."""
    architecture = kept.architecture
    matrices = [x.has_matrix and not x.depthwise for x in architecture.layers]
    inputs, outputs = layer_channels(architecture, kept.counts)
    dense_inputs, dense_outputs = layer_channels(architecture, architecture.widths[None])
    apart = np.log(outputs / dense_outputs) - np.log(inputs / dense_inputs)
    return -np.asarray(np.abs(apart[:, matrices]).mean(axis=1))


def scores(kept: Kept) -> dict[str, Floats]:
    """Every proxy that needs no run of the pruned network, `n` numbers each."""
    architecture, counts = kept.architecture, kept.counts
    weights = PROXIES["layers"].weights(architecture)
    means: dict[str, Callable[[Floats], Floats]] = {
        "log-mean": geometric,
        "log-mean over layers": lambda shares: geometric(shares**weights),
        "harmonic mean": harmonic,
        "mean": arithmetic,
    }
    found = {
        f"{criterion}, {how}": mean(shares)
        for criterion, shares in kept.shares.items()
        for how, mean in means.items()
    }
    found |= {f"{c}, summed": summed(kept, c) for c in kept.shares if c != CHANNELS}
    found["channels, narrowest group"] = narrowest(kept.shares[CHANNELS])
    found["neighbouring widths alike"] = neighbours(kept)
    found["FLOPs balance"] = balance(kept)
    found["FLOPs"] = flops(architecture, counts).astype(np.float64)
    found["parameters"] = parameters(architecture, counts).astype(np.float64)
    return found
