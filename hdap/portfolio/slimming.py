"""What deleting zero filters cannot do: nearly empty channels go too, as far as accuracy allows.

A sparse network knows which of its channels matter: those that vary and that the weights left
behind them take up (`lookahead_scores`). These are the importances of a search for the fastest
network on the fleet, or, where no fleet was measured, for the one that keeps most of them at given
FLOPs. Batch norms are then set anew on images; training follows only where it is asked for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, format_flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.networks.channel_importance import Floats, importance_curves
from hdap.networks.description import architecture_of
from hdap.networks.following import follow_channels
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.surgery import prune
from hdap.portfolio.densify import Densified, densify
from hdap.portfolio.narrowing import WeightedLatency, narrowed
from hdap.requests.recipe import Recipe
from hdap.search.problem.budget import parse_flops
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.training.datasets import Data, plain
from hdap.training.network_quality import evaluate, recalibrate_on
from hdap.training.training_loop import train

SHRINK = 0.75
"""Ratio of FLOPs from one network to the next while accuracy holds."""
STEPS, BISECTIONS = 12, 3
"""So many networks are tried on the way down, then between the last that held and the first that
did not."""
RECALIBRATION = 20
STEP = 8
"""Channels that common processors take at once; odd counts are slower than wider even ones."""


@dataclass(frozen=True)
class SlimRequest:
    """How far: to `flops` (`25%` of the dense model, `0.5G`), or as far as accuracy on validation
    images stays at least `least_accuracy`. Exactly one of them.

    `tuning` is a brief training of every network that is tried; without it only batch norms are set
    anew. `step` is the grid of channel counts. Raises `InputError` when not exactly one is given or
    a number is out of range.
    """

    flops: str | None = None
    least_accuracy: float | None = None
    tuning: Recipe | None = None
    step: int = STEP
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.flops is None) == (self.least_accuracy is None):
            raise InputError(
                "a network is made slim to FLOPs or to a least accuracy, but got "
                f"flops={self.flops} and least_accuracy={self.least_accuracy}; give one of them"
            )
        if self.least_accuracy is not None and not 0.0 <= self.least_accuracy <= 1.0:
            raise InputError(f"`0 <= least_accuracy <= 1` must hold, but got {self.least_accuracy}")


@dataclass(frozen=True, eq=False)
class Slim:
    """A slim dense network in eval mode.

    `counts` (groups) are its channels in the given architecture, `kept_importance` the share of
    the sparse network's importance that they hold, as searches count it. `accuracy` is on
    validation images, `tried` are FLOPs and accuracy of all networks that were judged, in order.
    Seconds: `surgery_seconds` of removing channels (from sparse to this network), `choice_seconds`
    of the search, `recalibration_seconds` of setting batch norms anew, `tuning_seconds` of training
    (0 where there was none).
    """

    module: nn.Module
    counts: Counts
    flops: int
    kept_importance: float
    accuracy: float
    surgery_seconds: float
    choice_seconds: float
    recalibration_seconds: float
    tuning_seconds: float
    tried: tuple[tuple[int, float], ...] = ()


def slim(
    module: nn.Module,
    architecture: Architecture,
    request: "SlimRequest | Counts",
    data: Data,
    *,
    fleet: WeightedLatency | None = None,
    dense: Densified | None = None,
) -> Slim:
    """Make a sparse network dense, then narrower, to a request or to counts, where more are left.

    `architecture` describes `module`, which is not changed. `fleet` tells latencies apart; without
    it the network that keeps most importance at the same FLOPs is taken. `dense` is what `densify`
    gave for the same network and step, if it is there. It runs where the network is.

    Raises:
        InputError: counts are no configuration, or data and network do not fit.
        InfeasibleError: the budget is above the dense model or below the narrowest network, or the
            network is below `least_accuracy` as soon as a channel goes.
    """
    step = request.step if isinstance(request, SlimRequest) else 1
    dense = dense or densify(module, architecture, step=step)
    work = _Slimming(architecture, data, fleet, dense)
    if not isinstance(request, SlimRequest):
        return work.made(np.minimum(request, work.dense.counts), None)
    if request.flops is not None:
        most = int(flops(architecture, architecture.widths[None])[0])
        return work.at(parse_flops(request.flops, most), request)
    return work.down_to(request)


class _Slimming:
    def __init__(
        self,
        architecture: Architecture,
        data: Data,
        fleet: WeightedLatency | None,
        dense: Densified,
    ) -> None:
        self.dense, self._data, self._fleet = dense, data, fleet
        self._architecture = architecture
        shape = architecture.input_shape
        started = time.perf_counter()
        self._graph = follow_channels(dense.module, shape, architecture.index)
        self._now = architecture_of(self._graph, architecture.model, shape)
        self._before_seconds = dense.seconds + time.perf_counter() - started
        scores = lookahead_scores(dense.module, self._now, graph=self._graph)
        self._scores = tuple(
            # Of a group of which nobody needs a channel all count alike.
            score * np.isin(kept, needed) if len(needed) else np.ones(len(kept))
            for score, kept, needed in zip(scores, dense.kept, dense.needed, strict=True)
        )
        self._importance = _importance(architecture, self._now, self._scores)

    def at(self, budget: int, request: SlimRequest) -> Slim:
        """The network chosen for a budget; what is there already where that is not above it."""
        if self._flops(self.dense.counts) <= budget:
            return self.made(self.dense.counts, request.tuning)
        started = time.perf_counter()
        counts = narrowed(
            self._architecture,
            self._importance,
            self.dense.counts,
            budget,
            self._fleet,
            step=request.step,
            seed=request.seed,
        )
        return self.made(counts, request.tuning, time.perf_counter() - started)

    def down_to(self, request: SlimRequest) -> Slim:
        """The network of least FLOPs found whose accuracy is at least the one asked for."""
        least = request.least_accuracy or 0.0
        tried: list[tuple[int, float]] = []
        best, low = None, 0

        def attempt(budget: int) -> Slim | None:
            found = self.at(budget, request)
            tried.append((found.flops, found.accuracy))
            return found if found.accuracy >= least else None

        goal = self._flops(self.dense.counts)
        for _ in range(STEPS):
            try:
                found = attempt(goal)
            except InfeasibleError:
                found = None  # narrower than the space allows
            if found is None:
                low = goal
                break
            best, goal = found, round(goal * SHRINK)
        if best is None:
            raise InfeasibleError(
                f"a network must reach the {least:.1%} asked for once it is dense, but has "
                f"{tried[0][1]:.1%} at {format_flops(tried[0][0])}; ask for less, or take a level "
                "that is less sparse"
            )
        return replace(self._between(best, low, attempt), tried=tuple(tried))

    def _between(self, best: Slim, low: int, attempt: Callable[[int], Slim | None]) -> Slim:
        for _ in range(BISECTIONS if low else 0):
            middle = round((low * best.flops) ** 0.5)
            try:
                found = attempt(middle)
            except InfeasibleError:
                found = None
            if found is None:
                low = middle
            elif found.flops < best.flops:
                best = found
        return best

    def made(self, counts: Counts, tuning: Recipe | None, choice_seconds: float = 0.0) -> Slim:
        """The network of these counts, its batch norms set anew, tuned if asked for, judged."""
        started = time.perf_counter()
        module = self.dense.module
        network = prune(module, self._now, counts, self._scores, graph=self._graph).eval()
        cut = time.perf_counter()
        if (counts != self.dense.counts).any():
            recalibrate_on(network, plain(self._data.train), count=RECALIBRATION)
        set_anew = time.perf_counter()
        if tuning is not None:
            device = next(network.parameters()).device
            train(network, self._data, tuning, device=device)
        tuned = time.perf_counter()
        return Slim(
            module=network,
            counts=counts,
            flops=self._flops(counts),
            kept_importance=float(self._importance.kept(counts[None])[0]),
            accuracy=evaluate(network, self._data.validation).accuracy,
            surgery_seconds=self._before_seconds + cut - started,
            choice_seconds=choice_seconds,
            recalibration_seconds=set_anew - cut,
            tuning_seconds=tuned - set_anew,
        )

    def _flops(self, counts: Counts) -> int:
        return int(flops(self._architecture, counts[None])[0])


def _importance(
    architecture: Architecture, now: Architecture, scores: tuple[Floats, ...]
) -> Importance:
    """Of the channels that are left, over counts up to the full widths: the others hold nothing."""
    curves = tuple(
        np.append(curve, np.ones(group.width + 1 - len(curve)))
        for curve, group in zip(importance_curves(scores, now), architecture.groups, strict=True)
    )
    proxy = PROXIES[DEFAULT_PROXY]
    return Importance("sparse weights", curves).with_proxy(proxy, architecture)
