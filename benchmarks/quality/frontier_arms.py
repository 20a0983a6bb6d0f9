"""The arms of the frontier: each turns a level, from narrow to wide, into a pruned network.

An arm decides widths and which channels stay; how wide it may be in the end is decided by what is
measured. Every search of hdap runs with its defaults but for what its name says.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from torch import nn

from benchmarks.quality.frontier_device import Rig
from benchmarks.quality.frontier_plan import (
    HALP,
    NCS,
    OURS,
    OURS_LATENCY,
    OURS_LOWER,
    TP_GROUP,
    TP_MAGNITUDE,
    UNIFORM,
    model_of,
)
from benchmarks.search.settings import hdap_setting
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.networks.channel_importance import importance_curves
from hdap.networks.surgery import prune
from hdap.requests.search_request import SearchRequest
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.search.driver.run_search import run_search
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.workflows.build_problem import prepare_search
from hdap.workflows.fleet_artifacts import ensure_clustering

LEVELS = 128
LEAST = 0.08
"""The lowest level's share of width, FLOPs or latency, as the arm counts; the last has all."""
GRIDS = (1, 4, 8, 16, 32)
TP_GRIDS = (1, 8, 16)
HALP_STEP = 16
"""HALP takes the grid that the measurements show to pay, up to this."""
LOWER = 0.9
"""Of what the best uniform network keeps: what hdap's default was before it was that itself."""
NCS_EVALUATIONS = 1_000
"""Ten climbers for a hundred generations, as HDAP's authors run it."""
HALP_TRIALS = 300

Scores = Sequence[Any]


@dataclass(frozen=True)
class Trained:
    """A trained dense network, on its device: scores of its channels by criterion."""

    rig: Rig
    seed: int
    module: nn.Module
    scores: Mapping[str, Scores]

    @property
    def dense_flops(self) -> int:
        """Of the network as it was trained."""
        architecture = self.rig.architecture
        return int(flops(architecture, architecture.widths[None])[0])

    def kept(self, counts: Counts) -> float:
        """Kept importance of one configuration, as `hdap search` counts it with these weights."""
        architecture = self.rig.architecture
        curves = importance_curves(self.scores[DEFAULT_CRITERION], architecture)
        importance = Importance(DEFAULT_CRITERION, curves)
        importance = importance.with_proxy(PROXIES[DEFAULT_PROXY], architecture)
        return float(importance.kept(counts[None])[0])

    def fleet(self) -> FleetWeights:
        """One device."""
        clustering = ensure_clustering(self.rig.store, lambda message: None)
        return FleetWeights.of(clustering, self.rig.store.devices())


@dataclass(eq=False)
class Family:
    """`widths` gives the counts at a share in 0..1; `scores` say which channels stay, and `cut`
    prunes where an arm does that itself."""

    arm: str
    of: Trained
    widths: Callable[[float], Counts]
    scores: Scores = ()
    grid: int = 0
    cut: Callable[[float], nn.Module] | None = None
    _known: dict[int, Counts] = field(default_factory=dict)

    def counts(self, level: int) -> Counts:
        """Of a level in 0..LEVELS-1; where the arm finds nothing so narrow, its narrowest."""
        if level not in self._known:
            self._known[level] = self.widths(share_of(level))
        return self._known[level]

    def level_of_flops(self, budget: float) -> int:
        """The widest level with at most so many FLOPs."""
        rows = np.stack([self.counts(level) for level in range(LEVELS)])
        fits = flops(self.of.rig.architecture, rows) <= budget
        return int(np.flatnonzero(fits).max(initial=0))

    def network(self, level: int) -> nn.Module:
        """The dense network's weights that stay."""
        if self.cut is not None:
            return self.cut(share_of(level))
        return prune(self.of.module, self.of.rig.architecture, self.counts(level), self.scores)


def share_of(level: int) -> float:
    """Equal ratios from one level to the next."""
    return float(LEAST ** (1.0 - level / (LEVELS - 1)))


def uniform_families(of: Trained) -> list[Family]:
    """Every group at one share, on each grid."""

    def on(grid: int) -> Family:
        space = SearchSpace.build(of.rig.architecture, grid, min_share=LEAST)
        widths = of.rig.architecture.widths.astype(np.float64)
        stays = of.scores[DEFAULT_CRITERION]
        return Family(UNIFORM, of, lambda share: space.snap((share * widths)[None])[0], stays, grid)

    return [on(grid) for grid in GRIDS]


def torch_pruning_families(of: Trained, arm: str) -> list[Family]:
    """Torch-Pruning's global pruning by one importance, on each grid."""
    importances: Mapping[str, Callable[[], Any]] = {
        # The first layer of a group alone, or all of them: DepGraph's group norm (Fang et al.,
        # CVPR 2023, 3.3) without its sparse training.
        TP_MAGNITUDE: lambda: tp.importance.MagnitudeImportance(p=2, group_reduction="first"),
        TP_GROUP: lambda: tp.importance.GroupMagnitudeImportance(p=2),
    }

    def on(grid: int) -> Family:
        def cut(share: float) -> nn.Module:
            module = copy.deepcopy(of.module)
            pruner = tp.pruner.BasePruner(
                module,
                torch.zeros(1, *of.rig.architecture.input_shape),
                importance=importances[arm](),
                global_pruning=True,
                pruning_ratio=1.0 - share,
                ignored_layers=[m for m in module.modules() if isinstance(m, nn.Linear)],
                round_to=grid,
            )
            pruner.step()
            return module

        def widths(share: float) -> Counts:
            module = cut(share)
            members = [group.members[0] for group in of.rig.architecture.groups]
            return np.array([len(module.get_submodule(m).weight) for m in members])  # type: ignore[arg-type]

        return Family(arm, of, widths, grid=grid, cut=cut)

    return [on(grid) for grid in TP_GRIDS]


def halp(of: Trained) -> Family:
    """The most Taylor importance within a latency."""
    latency, architecture = of.rig.surrogate(), of.rig.architecture
    curves = importance_curves(of.scores["taylor"], architecture)
    space = SearchSpace.build(architecture, min(latency.step, HALP_STEP))
    least = int(flops(architecture, space.smallest[None])[0])
    dense_ms = float(latency.predict(architecture.widths[None]).ms[0, 0])

    def widths(share: float) -> Counts:
        problem = SearchProblem.build(
            space,
            FlopsBand(least, of.dense_flops),
            latency,
            of.fleet(),
            Importance("taylor", curves),
            floor=0.0,
            risk=0.0,
            limit_ms=share * dense_ms,
        )
        return _found(problem, "halp", HALP_TRIALS, of.seed)

    return Family(HALP, of, _or_narrowest(widths, space), of.scores["taylor"])


def ncs(of: Trained) -> Family:
    """Any inner width, HDAP's own surrogate, ten climbers; tuned once and not in steps."""
    latency, architecture = of.rig.surrogate("hdap-gbrt"), of.rig.architecture
    space = SearchSpace.build(architecture, 1)

    def posed(share: float) -> SearchProblem:
        budget = band(round(share * of.dense_flops))
        return hdap_setting(SearchProblem.build(space, budget, latency, of.fleet(), floor=0.0))

    def widths(share: float) -> Counts:
        return _found(posed(share), "ncs", NCS_EVALUATIONS, of.seed)

    return Family(NCS, of, _or_narrowest(widths, posed(1.0).space), of.scores["l2"])


def ours(of: Trained, arm: str) -> Family:
    """`hdap search`: with its default floor, with a lower one, or for the most importance within a
    latency."""
    rig = of.rig
    file = rig.work.weights(rig.network, of.seed)
    dense_ms = float(rig.surrogate().predict(rig.architecture.widths[None]).ms[0, 0])

    def posed(share: float) -> SearchProblem:
        budget, limit = str(round(share * of.dense_flops)), f"{share * dense_ms:.6f}ms"
        request = SearchRequest(model_of(rig.network), flops=budget, weights=str(file))
        if arm == OURS_LATENCY:
            request = replace(request, flops=None, latency=limit, objective="mean")
        problem = prepare_search(rig.store, request, lambda message: None).problem
        return replace(problem, floor=LOWER * problem.floor) if arm == OURS_LOWER else problem

    def widths(share: float) -> Counts:
        return _found(posed(share), "fleet", rig.settings.trials, of.seed)

    stays = of.scores[DEFAULT_CRITERION]
    return Family(arm, of, _or_narrowest(widths, SearchSpace.build(rig.architecture, 1)), stays)


def searched_families(of: Trained) -> dict[str, Callable[[], Family]]:
    """The arms that search, by name."""
    return {
        HALP: lambda: halp(of),
        NCS: lambda: ncs(of),
        OURS: lambda: ours(of, OURS),
        OURS_LOWER: lambda: ours(of, OURS_LOWER),
        OURS_LATENCY: lambda: ours(of, OURS_LATENCY),
    }


def _found(problem: SearchProblem, sampler: str, trials: int, seed: int) -> Counts:
    """The best feasible trial; uniform pruning where there is none, as the command says."""
    found = run_search(problem, sampler, trials, seed=seed).trials
    if found is None or not found.feasible.any():
        return problem.uniform
    best: Counts = found.counts[np.where(found.feasible, found.ranking, np.inf).argmin()]
    return best


def _or_narrowest(
    widths: Callable[[float], Counts], space: SearchSpace
) -> Callable[[float], Counts]:
    def found(share: float) -> Counts:
        try:
            return widths(share)
        except InfeasibleError:
            return space.smallest

    return found
