"""The winner's curse: how much better than the truth the answer of a search is predicted to be.

    python -m benchmarks.search.winners_curse [--seeds 5] [--splits 60] [--rounds 2] [--trials 600]

A good optimiser finds the mistakes of what it optimises. `curse` is (predicted - true) / true at
the winner, below 0 where the prediction was too good; `over uniform` by how much what a search
promises over the best uniform network (`hdap.search.analysis.promised_gain`) is more than what is
delivered; `inside` how often the truth lies in the predicted 90 % interval of the fleet mean,
`regret` how much slower in truth the winner is than the network that the same search finds on the
truth itself. Medians over seeds, in percent; of the promise also the least and the most.

1. Simulated truth: surrogates learn from so many measurements a cluster of planned configurations,
   the search runs at several risks. `fleet` shrinks what its data does not support (its correction
   is Bayesian); `hdap-gbrt` and `roofline` do not shrink.
2. Measured: the best predicted one (at equal FLOPs) of the held-out configurations of the bundled
   fleets against what was measured there; beside it the error of all held-out configurations. Its
   promise is over each of the others.
3. Simulated truth, rounds: the short list and uniform pruning are measured, the surrogates learn
   from it, search again.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.fleet.measured_fleets import MICROFLEETS, traced
from benchmarks.fleet.surrogates import fleet_data
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats, Ints
from hdap.search.analysis.answer import shortlist
from hdap.search.analysis.promised_gain import PromisedGain, promised_gain, ratio_sd
from hdap.search.driver.run_search import run_search
from hdap.search.planning.candidate_pool import draw_pool
from hdap.search.problem.budget import FlopsBand, band, parse_flops
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.simulation.law import draw_median
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.workload import true_kind_latency
from hdap.surrogate.models.base import FleetSurrogate, Prediction
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.cross_validation import calibration, cross_validate

SIZES = (20, 50, 100, 200)
RISKS = (0.0, 0.5, 1.0, 2.0)
KINDS = ("fleet", "roofline", "hdap-gbrt")
HELD = 0.25
MODEL, BUDGET, STEP = "resnet50", "1.0G", 8


@dataclass(frozen=True)
class World:
    """A simulated fleet whose kinds are its clusters, and the budget of a search for it."""

    architecture: Architecture
    fleet: SimulatedFleet
    budget: FlopsBand

    @classmethod
    def of(cls, name: str, seed: int) -> "World":
        architecture = traced(MODEL)
        dense = int(flops(architecture, architecture.widths[None])[0])
        spec = preset(name, 200, seed)
        return cls(architecture, draw_fleet(spec), band(parse_flops(BUDGET, dense)))

    @property
    def shares(self) -> Floats:
        kinds = np.bincount(self.fleet.kind, self.fleet.weight, len(self.fleet.spec.kinds))
        found: Floats = kinds / kinds.sum()
        return found

    def true_ms(self, counts: Counts) -> Floats:
        """`n x kinds`."""
        return true_kind_latency(self.fleet, self.architecture, counts)

    def fleet_ms(self, counts: Counts) -> Floats:
        found: Floats = self.true_ms(counts) @ self.shares
        return found

    def measured(self, counts: Counts, rng: np.random.Generator) -> TrainingData:
        """Every configuration (and the dense model) measured once by each kind, with its noise."""
        designs = np.vstack([self.architecture.widths[None], counts])
        kinds = self.fleet.spec.kinds
        truth = self.true_ms(designs)
        noise = np.stack([self._noise(k, len(designs), rng) for k in range(len(kinds))], axis=1)
        n = truth.size
        return TrainingData(
            architecture=self.architecture,
            designs=designs,
            configuration=np.repeat(np.arange(len(designs)), len(kinds)),
            cluster=np.tile(np.arange(len(kinds)), len(designs)),
            device=np.tile(np.arange(len(kinds)), len(designs)),
            device_factor=np.ones(n),
            drift=np.ones(n),
            latency_ms=(truth * noise).ravel(),
            runs=np.full(n, 50.0),
            measured_at=np.zeros(n),
            shares=self.shares,
            relative_latency=truth[0] / float(truth[0] @ self.shares),
        )

    def problem(self, latency: LatencyModel, risk: float) -> SearchProblem:
        least = least_share(self.architecture, self.budget)
        step = latency.step if isinstance(latency, FleetSurrogate) else STEP
        space = SearchSpace.build(self.architecture, step, min_share=least)
        weights = FleetWeights(self.shares, np.ones((len(self.shares), 1)), self.shares[:, None])
        return SearchProblem.build(space, self.budget, latency, weights, risk=risk)

    def _noise(self, kind: int, n: int, rng: np.random.Generator) -> Floats:
        noise = self.fleet.spec.kinds[kind].noise
        scatter = np.full(n, np.hypot(noise.scatter, noise.drift))
        return draw_median(scatter, np.full(n, noise.spike_rate), np.full(n, noise.spike), rng)


@dataclass(frozen=True)
class Outcome:
    """Of one winner, as fractions; NaN where the truth is not known well enough."""

    curse: float
    inside: float = float("nan")
    regret: float = float("nan")
    over_uniform: float = float("nan")


@dataclass(frozen=True)
class Truth:
    """The simulated law as a latency model without error."""

    world: World

    def predict(self, counts: Counts) -> Prediction:
        log_ms = np.log(self.world.true_ms(counts))
        return Prediction(log_ms, np.zeros_like(log_ms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--splits", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--parts", default="123")
    options = parser.parse_args()
    print(
        f"{'percent':<44}{'curse':>8}{'worst tenth':>13}{'over uniform':>22}"
        f"{'inside':>8}{'regret':>9}"
    )
    if "1" in options.parts:
        for name in PRESETS:
            simulated(name, options.seeds, options.trials)
    if "2" in options.parts:
        for model in MICROFLEETS:
            held_out(model, options.splits)
    if "3" in options.parts:
        for name in PRESETS:
            rounds(name, options.seeds, options.rounds, options.trials)


def simulated(name: str, seeds: int, trials: int) -> None:
    """Part 1 for one preset."""
    found: dict[tuple[str, int, float], list[Outcome]] = {}
    for seed in range(seeds):
        world, rng = World.of(name, seed), np.random.default_rng([seed, 1])
        best = best_ms(world, trials, seed)
        every = planned(world, max(SIZES), seed)
        for size in SIZES:
            data = world.measured(every[rng.permutation(len(every))[:size]], rng)
            for kind in KINDS:
                surrogate = learned(kind, data, seed)
                for risk in RISKS if kind == "fleet" else (0.0,):
                    problem = world.problem(surrogate, risk)
                    counts = winner(problem, trials, seed)
                    one = outcome(world, problem, counts, best)
                    found.setdefault((kind, size, risk), []).append(one)
    for kind in KINDS:
        for size in SIZES:
            for risk in RISKS:
                if (kind, size, risk) in found:
                    show(f"{name}, {kind}, {size} rows, risk {risk:g}", found[kind, size, risk])


def rounds(name: str, seeds: int, count: int, trials: int) -> None:
    """Part 3 for one preset: 50 rows a cluster, then the short list, again and again."""
    found: dict[int, list[Outcome]] = {}
    for seed in range(seeds):
        world, rng = World.of(name, seed), np.random.default_rng([seed, 3])
        best = best_ms(world, trials, seed)
        counts = planned(world, 50, seed)
        data = world.measured(counts, rng)
        for number in range(count + 1):
            problem = world.problem(learned("fleet", data, seed), 1.0)
            result = run_search(problem, trials=trials, seed=seed)
            assert result.trials is not None
            few = result.trials.counts[shortlist(problem, result.trials)]
            uniform = np.stack([network.counts for network in problem.uniform_networks])
            found.setdefault(number, []).append(outcome(world, problem, few[0], best))
            data = joined(data, world.measured(np.vstack([few, uniform]), rng))
    for number, outcomes in found.items():
        show(f"{name}, fleet, 50 rows, measured again {number} x", outcomes)


def held_out(model: str, splits: int) -> None:
    """Part 2 for one bundled fleet: every latency was measured."""
    data = fleet_data(model)
    found: dict[tuple[str, float], list[Outcome]] = {}
    for split in range(splits):
        rng = np.random.default_rng([split, 2])
        pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
        held = pruned[: round(HELD * len(pruned))]
        unseen = np.isin(data.configuration, held)
        cells = data.at(unseen).cells
        for kind in KINDS:
            surrogate = SURROGATES[kind].fit(data.at(~unseen), split)
            prediction = surrogate.predict(data.designs[held])
            place = np.searchsorted(np.sort(held), cells.configuration)
            row = np.argsort(held)[place]
            errors = prediction.log_ms[row, cells.cluster] - cells.log_ms
            each = np.bincount(row, errors, len(held)) / np.bincount(row, minlength=len(held))
            every = Outcome(float(np.expm1(np.mean(each))))
            found.setdefault((f"{kind}, all", 0.0), []).append(every)
            size = np.log(flops(data.architecture, data.designs[held]))
            for risk in RISKS if kind == "fleet" else (0.0,):
                value = (prediction.log_ms + risk * prediction.log_sd).mean(axis=1)
                slope, base = np.polyfit(size, value, 1)
                first = int((value - slope * size - base).argmin())
                one = Outcome(float(np.expm1(each[first])))
                if kind == "fleet":
                    measured = np.exp(prediction.log_ms.mean(axis=1) - each)
                    one = replace(
                        one, over_uniform=_kept_promise(surrogate, data, held, first, measured)
                    )
                found.setdefault((f"{kind}, best", risk), []).append(one)
    for (what, risk), outcomes in found.items():
        show(f"{model} measured, {what}, risk {risk:g}", outcomes)


def _kept_promise(
    surrogate: FleetSurrogate, data: TrainingData, held: Ints, first: int, measured: Floats
) -> float:
    """Median over all other held-out configurations of what the first promises over each, over
    what was `measured` (geometric means over clusters), less 1."""
    predicted = np.exp(surrogate.predict(data.designs[held]).log_ms.mean(axis=1))
    missed = []
    for other in np.delete(np.arange(len(held)), first).tolist():
        found, one = data.designs[held[first]], data.designs[held[other]]
        doubt = ratio_sd(surrogate, found, one).mean()
        promised = PromisedGain(float(predicted[other] / predicted[first]), float(doubt)).promised
        missed.append(promised / (measured[other] / measured[first]) - 1.0)
    return float(np.median(missed))


def planned(world: World, size: int, seed: int) -> Counts:
    """Configurations as a first plan would spread them over 10-60 % of the dense FLOPs."""
    dense = int(flops(world.architecture, world.architecture.widths[None])[0])
    counts, _ = draw_pool(world.architecture, dense // 10, dense * 6 // 10, None, seed)
    return counts[np.random.default_rng([seed, 4]).permutation(len(counts))[:size]]


def learned(kind: str, data: TrainingData, seed: int) -> FleetSurrogate:
    """As `hdap fit` does it: learned, and calibrated on held-out folds."""
    chosen = SURROGATES[kind]
    held = cross_validate(chosen, data, seed=seed)
    return chosen.fit(data, seed).calibrated(calibration(held, data.clusters))


def joined(one: TrainingData, other: TrainingData) -> TrainingData:
    """The rows of both; the dense ones of `other` are left out."""
    other = other.at(~other.dense)

    def both(name: str) -> Floats:
        return np.concatenate([getattr(one, name), getattr(other, name)])

    return replace(
        one,
        designs=np.vstack([one.designs, other.designs]),
        configuration=np.concatenate([one.configuration, other.configuration + len(one.designs)]),
        cluster=np.concatenate([one.cluster, other.cluster]),
        device=np.concatenate([one.device, other.device]),
        device_factor=both("device_factor"),
        drift=both("drift"),
        latency_ms=both("latency_ms"),
        runs=both("runs"),
        measured_at=both("measured_at"),
    )


def winner(problem: SearchProblem, trials: int, seed: int) -> Counts:
    """The first of the short list of a search."""
    found = run_search(problem, trials=trials, seed=seed).trials
    assert found is not None
    best: Counts = found.counts[shortlist(problem, found, 1)[0]]
    return best


def best_ms(world: World, trials: int, seed: int) -> float:
    """The fleet mean that a search finds which asks the truth."""
    found = winner(world.problem(Truth(world), 0.0), 5 * trials, seed)
    return float(world.fleet_ms(found[None])[0])


def outcome(world: World, problem: SearchProblem, counts: Counts, best_ms: float) -> Outcome:
    """What the winner `counts` (groups) is in truth; `best_ms` is the best there is."""
    found, true = problem.evaluate(counts[None]), float(world.fleet_ms(counts[None])[0])
    inside = found.fleet_mean_low_ms[0] <= true <= found.fleet_mean_high_ms[0]
    uniform = problem.best_uniform.counts
    delivered = float(world.fleet_ms(uniform[None])[0]) / true
    promised = promised_gain(problem, counts, uniform).promised
    curse = float(found.fleet_mean_ms[0]) / true - 1.0
    return Outcome(curse, float(inside), true / best_ms - 1.0, promised / delivered - 1.0)


def show(what: str, outcomes: list[Outcome]) -> None:
    curse, inside, regret, over = (
        100 * np.array([getattr(o, name) for o in outcomes])
        for name in ("curse", "inside", "regret", "over_uniform")
    )
    low = np.quantile(curse, 0.1)
    promise = f"{np.median(over):.2f} ({over.min():.2f} to {over.max():.2f})"
    promise = "" if np.isnan(over).any() else promise
    told = "" if np.isnan(regret).any() else f"{inside.mean():>8.0f}{np.median(regret):>9.2f}"
    print(f"{what:<44}{np.median(curse):>8.2f}{low:>13.2f}{promise:>22}{told}", flush=True)


if __name__ == "__main__":
    main()
