"""Every arm brought to the same measured latency; no network is trained here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from safetensors.torch import save_file

from benchmarks.quality.frontier_arms import (
    LEVELS,
    Family,
    Trained,
    searched_families,
    torch_pruning_families,
    uniform_families,
)
from benchmarks.quality.frontier_device import Rig
from benchmarks.quality.frontier_plan import TP_GROUP, TP_MAGNITUDE, UNIFORM
from benchmarks.quality.frontier_training import dense_network, photographs
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops, parameters
from hdap.networks.criteria import Evidence, channel_scores
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.surrogate.models.base import FleetSurrogate
from hdap.training.load_data import TrainingBatches

OVER = 0.015
"""An arm may take so much longer than the best uniform network: the noise of a measurement."""
REFERENCE_GRID = 8
STEPS = 12
"""Levels looked through for another network: a quarter more or less of what the arm counts."""


@dataclass(eq=False)
class Approach:
    """One family on its way to a latency (a share of dense), a measured network at a time."""

    family: Family
    target: float
    latency: FleetSurrogate
    factor: float = 1.0
    tried: dict[int, float] = field(default_factory=dict)

    def level(self) -> int:
        """The widest that is expected to be fast enough, where predictions err as they just did;
        where that was measured, the next other network on the side of the target."""
        expected = self._expected()
        known = {tuple(self.family.counts(level)): ms for level, ms in self.tried.items()}
        ms = known.get(tuple(self.family.counts(expected)))
        step = 1 if ms is not None and ms <= self.target else -1
        for level in range(expected, min(max(expected + STEPS * step, -1), LEVELS), step):
            if tuple(self.family.counts(level)) not in known:
                return level
        return expected

    def _expected(self) -> int:
        low, high = 0, LEVELS - 1
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.factor * self._predicted(middle) <= self.target
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def learn(self, level: int, measured: float) -> None:
        self.tried[level] = measured
        self.factor = measured / self._predicted(level)

    @property
    def best(self) -> int:
        """The slowest network that was measured and is fast enough; else the fastest."""
        fit = [level for level, ms in self.tried.items() if ms <= self.target * (1.0 + OVER)]
        return max(fit, key=self.tried.__getitem__) if fit else min(self.tried, key=self._ms)

    def _ms(self, level: int) -> float:
        return self.tried[level]

    def _predicted(self, level: int) -> float:
        ms = self.latency.predict(np.stack([self.family.counts(level), self._widest])).ms[:, 0]
        return float(ms[0] / ms[1])

    @cached_property
    def _widest(self) -> Counts:
        return self.family.of.rig.architecture.widths


def brought(families: Sequence[Family], targets: Sequence[float], rig: Rig) -> list[Approach]:
    """Each family as near below its target as a few rounds of measuring bring it."""
    latency = rig.surrogate()
    found = [Approach(f, target, latency) for f, target in zip(families, targets, strict=True)]
    for _ in range(rig.settings.rounds):
        levels = [approach.level() for approach in found]
        rows = [a.family.counts(level) for a, level in zip(found, levels, strict=True)]
        for approach, level, ms in zip(found, levels, rig.measured(rows), strict=True):
            approach.learn(level, ms)
    return found


def choose_widths(rig: Rig, seed: int) -> None:
    """Decide the widths of every arm at every point, save what they begin with, and measure all
    of them in one interleaved run: `widths/NETWORK-SEED`."""
    of = trained(rig, seed)
    chosen: dict[str, tuple[Approach, int]] = {}
    for point, share in enumerate(rig.settings.shares):
        for arm, approach in _at_point(of, share).items():
            chosen[f"{point}-{arm}"] = approach, approach.best
            network = approach.family.network(approach.best)
            state = {k: v.contiguous() for k, v in network.state_dict().items()}
            save_file(state, rig.work.weights(rig.network, seed, point, arm))
        rig.say(f"{rig.network}, seed {seed}: {share:.0%} of FLOPs has its networks")
    rows = [approach.family.counts(level) for approach, level in chosen.values()]
    timed = rig.time(rows, rig.settings.proved)
    texts = format_channels(rig.architecture, np.stack(rows))
    named = zip(chosen.items(), texts, strict=True)
    content = {name: _described(of, *one, timed[text]) for (name, one), text in named}
    rig.work.write(f"widths/{rig.network}-{seed}", content)


def trained(rig: Rig, seed: int) -> Trained:
    """The dense network of a seed with what its channels are worth."""
    module = dense_network(rig.network, seed, rig.work)
    settings = rig.settings
    data = photographs(settings.images, settings.judged)
    evidence = Evidence(seed, TrainingBatches(data, seed))
    scores = {
        name: channel_scores(name, module, rig.architecture, evidence)
        for name in (DEFAULT_CRITERION, "l2", "taylor")
    }
    return Trained(rig, seed, module, scores)


def _at_point(of: Trained, share: float) -> dict[str, Approach]:
    """Uniform pruning on its best grid first: what that takes is the latency of all others."""
    rig, arms = of.rig, of.rig.settings.arms
    grids = uniform_families(of)
    reference = next(family for family in grids if family.grid == REFERENCE_GRID)
    (target,) = rig.measured([reference.counts(reference.level_of_flops(share * of.dense_flops))])
    best = _keeping_most(brought(grids, [target] * len(grids), rig))
    target = best.tried[best.best]
    rig.say(f"{rig.network}: best grid {best.family.grid} at {target:.3f} of dense")
    found = {UNIFORM: best}
    for arm in (TP_MAGNITUDE, TP_GROUP):
        if arm in arms:
            families = torch_pruning_families(of, arm)
            found[arm] = _keeping_most(brought(families, [target] * len(families), rig))
    makers = searched_families(of)
    searched = [make() for arm, make in makers.items() if arm in arms]
    for approach in brought(searched, [target] * len(searched), rig):
        found[approach.family.arm] = approach
    return found


def _keeping_most(approaches: Sequence[Approach]) -> Approach:
    """Of one method on several grids the network that keeps most importance at this latency."""
    fit = [a for a in approaches if a.tried[a.best] <= a.target * (1.0 + OVER)]
    return max(fit or approaches, key=lambda a: a.family.of.kept(a.family.counts(a.best)))


def _described(
    of: Trained, approach: Approach, level: int, shares: Sequence[float]
) -> dict[str, Any]:
    """What is known of a chosen network before it is tuned."""
    architecture, counts = of.rig.architecture, approach.family.counts(level)
    return {
        "arm": approach.family.arm,
        "grid": approach.family.grid,
        "counts": counts.tolist(),
        "channels": format_channels(architecture, counts[None])[0],
        "flops": int(flops(architecture, counts[None])[0]),
        "parameters": int(parameters(architecture, counts[None])[0]),
        "kept": of.kept(counts),
        "target": approach.target,
        "latency": float(np.median(shares)),
        "latencies": list(shares),
        "reached": float(np.median(shares)) <= approach.target * (1.0 + 2.0 * OVER),
    }
