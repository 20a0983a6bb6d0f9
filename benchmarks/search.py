"""The `fleet` sampler against the base lines: equal evaluations, equal seconds, time to a latency.

    python benchmarks/search.py [--seeds 3] [--evaluations 2000] [--seconds 20] [--step 8]

Surrogates are fitted to the measured fleet (or, with `--truth`, the search asks the simulated
fleet's own law, which has no error). All samplers get the same problem and the same repair into the
FLOPs band, and an evaluation is one configuration that the surrogates were asked about, those
inside `fleet` included. Columns are the best feasible fleet mean as a speed-up over uniform pruning
on the same grid (predicted, medians over seeds), and how many times faster `fleet` reached what
the sampler reached at its very end.
"""

import argparse
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.cluster import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.ingest.run import ingest
from hdap.fleet_data.records import Floats
from hdap.fleet_data.store import Store
from hdap.search.answer import answer
from hdap.search.awareness import awareness
from hdap.search.budget import band, parse_flops
from hdap.search.fleet_weights import FleetWeights
from hdap.search.problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS
from hdap.search.space import SearchSpace
from hdap.search.study import Progress, run_search
from hdap.search.uniform import least_share
from hdap.simulation.fleet import Fleet, draw_fleet
from hdap.simulation.presets import preset
from hdap.simulation.truth import true_kind_latency
from hdap.surrogate.base import Prediction
from hdap.surrogate.costs import flops, parameters
from hdap.surrogate.fit import fit

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "data"
FLEETS = {
    "resnet50": ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": TESTS / "microfleet-mobilenetv1.csv.gz",
}


@dataclass(frozen=True)
class Curve:
    """Best feasible fleet mean (ms) after so many evaluations and seconds; m each, ascending."""

    scored: Floats
    seconds: Floats
    best_ms: Floats

    def after(self, axis: Floats, limit: float) -> float:
        """The best within the limit; infinite before anything was found."""
        return float(min(self.best_ms[axis <= limit], default=np.inf))

    def seconds_to(self, ms: float) -> float:
        """When the best was no worse than `ms`; infinite if never."""
        return float(min(self.seconds[self.best_ms <= ms], default=np.inf))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50", choices=FLEETS)
    parser.add_argument("--flops", default="1.0G")
    parser.add_argument("--step", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--truth", action="store_true", help="search the simulated law itself")
    options = parser.parse_args()
    problem = problem_of(options.model, options.flops, options.step, options.truth)
    show_default_search(problem)
    curves = {
        name: [
            curve(problem, name, seed, options.evaluations, options.seconds)
            for seed in range(options.seeds)
        ]
        for name in options.samplers.split(",")
    }
    show_curves(problem, curves, options.evaluations, options.seconds)


class Catalog:
    """Architectures from the tests' data: no torch is needed to ingest."""

    def architecture(self, model: str) -> Architecture | None:
        return Architecture.from_json((TESTS / f"{model}.architecture.json").read_text())

    def flops(self, architecture: Architecture, counts: Counts) -> NDArray[np.int64]:
        return flops(architecture, counts)

    def parameters(self, architecture: Architecture, counts: Counts) -> NDArray[np.int64]:
        return parameters(architecture, counts)


class Truth:
    """The simulated fleet's law as a latency model without error: one cluster a kind."""

    def __init__(self, architecture: Architecture, fleet: Fleet) -> None:
        self.architecture, self.fleet = architecture, fleet

    def predict(self, counts: Counts) -> Prediction:
        log_ms = np.log(true_kind_latency(self.fleet, self.architecture, counts))
        return Prediction(log_ms, np.zeros_like(log_ms))


def problem_of(model: str, budget: str, step: int, truth: bool) -> SearchProblem:
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{folder}/fleet.db") as store,
    ):
        rejected = Path(folder) / "rejected.csv"
        ingest(store, FLEETS[model], models=Catalog(), rejected_path=rejected)
        architecture = store.architecture(model)
        measurements = store.measurements(model)
    dense = int(flops(architecture, architecture.widths[None])[0])
    wanted = band(parse_flops(budget, dense))
    space = SearchSpace.build(architecture, step, min_share=least_share(architecture, wanted))
    if truth:
        fleet = draw_fleet(preset("microfleet", 240))
        share = np.bincount(fleet.kind, fleet.weight) / fleet.weight.sum()
        weights = FleetWeights(share, np.ones((len(share), 1)), share[:, None])
        return SearchProblem.build(space, wanted, Truth(architecture, fleet), weights)
    clustering = cluster(measurements, created_at=datetime.now(UTC), measurement_mark=0)
    surrogate = fit(architecture, measurements, clustering, base_lines=()).surrogate
    print(f"{model}: {len(measurements):,} measurements, {surrogate.clusters} clusters")
    weights = FleetWeights.of(clustering, measurements.devices)
    return SearchProblem.build(space, wanted, surrogate, weights)


def show_default_search(problem: SearchProblem) -> None:
    found = run_search(problem)
    assert found.trials is not None
    told = answer(problem, found.trials)
    rate = found.scored / found.seconds
    print(
        f"default search: {len(found.trials):,} trials in {found.seconds:.1f} s, {found.scored:,} "
        f"configurations scored, {rate:,.0f} a second (Optuna's share of the time included)"
    )
    for row in told.rows:
        print(
            f"  {row.name:<10}{row.flops / 1e9:8.3f} G{row.fleet_mean_ms:9.2f} ms predicted "
            f"({row.fleet_mean_low_ms:.2f}-{row.fleet_mean_high_ms:.2f})  kept "
            f"{row.kept_importance:.4f}  {row.over_dense:.2f}x dense  "
            f"{row.over_uniform:.3f}x uniform"
        )
    print(f"  {awareness(problem, told.found.counts).words}")


def curve(
    problem: SearchProblem, sampler: str, seed: int, evaluations: int, seconds: float
) -> Curve:
    """One search until it has had both its evaluations and its seconds."""
    told: list[Progress] = []

    def enough() -> bool:
        return bool(told) and told[-1].scored >= evaluations and told[-1].seconds >= seconds

    try:
        run_search(problem, sampler, 10**9, seed=seed, progress=told.append, should_stop=enough)
    except InfeasibleError as error:
        raise SystemExit(str(error)) from error
    columns = np.array([(p.scored, p.seconds, p.best_ms) for p in told]).T
    return Curve(*columns)


def show_curves(
    problem: SearchProblem, curves: dict[str, list[Curve]], evaluations: int, seconds: float
) -> None:
    uniform = float(problem.evaluate(problem.uniform[None]).fleet_mean_ms[0])
    print(
        f"\n{'sampler':<9}{f'{evaluations:,} evaluations':>20}{f'{seconds:g} seconds':>14}"
        f"{'in all':>9}{'evaluations/s':>15}{'fleet got there':>20}"
    )
    for name, runs in curves.items():
        equal = [uniform / c.after(c.scored, evaluations) for c in runs]
        timed = [uniform / c.after(c.seconds, seconds) for c in runs]
        final = [uniform / c.best_ms[-1] for c in runs]
        rate = np.median([c.scored[-1] / c.seconds[-1] for c in runs])
        faster = [
            mine.seconds_to(c.best_ms[-1]) / ours.seconds_to(c.best_ms[-1])
            for c, mine, ours in zip(runs, runs, curves.get("fleet", runs), strict=True)
        ]
        print(
            f"{name:<9}{np.median(equal):>20.4f}{np.median(timed):>14.4f}{np.median(final):>9.4f}"
            f"{rate:>15,.0f}{np.median(faster):>18,.0f} x"
        )


if __name__ == "__main__":
    main()
