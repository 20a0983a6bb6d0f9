"""How the shares that width groups keep become one number, which stands for quality in a search.

`benchmarks/quality/proxies.py` and `evidence.py` compare them with accuracy after fine-tuning.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats

LEAST_SHARE, LEAST_HARMONIC_SHARE = 1e-12, 1e-3
"""Shares below count as these: terms stay finite, and so does a penalty on their sum."""


class Proxy(ABC):
    """Kept importance is `exp` of the mean over width groups of `weights` times `terms`.

    A sum over groups, because samplers trade one group for another exactly, and the bound on a
    search's answer prices each by itself. Kept importance lies in 0..1 and is 1 for the dense
    network. Proxies hold no state.
    """

    @abstractmethod
    def terms(self, shares: Floats) -> Floats:
        """What shares of 0..1 count, of any shape, each by itself.

        Finite, 0 where all is kept, and never less for a larger share.
        """

    def weights(self, architecture: Architecture) -> Floats:
        """How much each width group counts: `groups`, none negative, mean 1."""
        return np.ones(len(architecture.groups))


class LogMean(Proxy):
    """The geometric mean of shares: a group that keeps half costs as much wherever it is."""

    def terms(self, shares: Floats) -> Floats:
        return np.log(np.maximum(shares, LEAST_SHARE))


class LayerLogMean(LogMean):
    """The geometric mean over the inputs and outputs of layers, each of which counts once.

    So a residual trunk, which many layers read and write, counts more than an inner width. In the
    study it foretold accuracy after fine-tuning best of all that needs no run of the network.
    """

    def weights(self, architecture: Architecture) -> Floats:
        sides = np.zeros(len(architecture.groups))
        for layer in architecture.layers:
            if not (layer.has_matrix and layer.weights):
                continue
            # A depthwise layer's input and output are one width.
            ends = (layer.outputs,) if layer.depthwise else (layer.inputs, layer.outputs)
            for end in ends:
                for group in {group for group, _ in end.terms}:
                    sides[group] += 1.0
        found: Floats = sides / sides.mean()
        return found


class Harmonic(Proxy):
    """The harmonic mean H of shares, as exp(1 - 1/H): the narrowest groups count most."""

    def terms(self, shares: Floats) -> Floats:
        return 1.0 - 1.0 / np.maximum(shares, LEAST_HARMONIC_SHARE)


class ArithmeticMean(Proxy):
    """The arithmetic mean A of shares, as exp(A - 1): wide groups may pay for narrow ones."""

    def terms(self, shares: Floats) -> Floats:
        return shares - 1.0


PROXIES: Mapping[str, Proxy] = {
    "log-mean": LogMean(),
    "layers": LayerLogMean(),
    "harmonic": Harmonic(),
    "mean": ArithmeticMean(),
}

LOGARITHMIC = tuple(name for name, own in PROXIES.items() if isinstance(own, LogMean))
"""Proxies under which a power of every share weighs its group."""


def proxy(name: str) -> Proxy:
    """The proxy of that name. Raises `InputError` for one that is not in `PROXIES`."""
    if name not in PROXIES:
        raise InputError(f"a proxy is one of {', '.join(PROXIES)}, but got {name!r}")
    return PROXIES[name]
