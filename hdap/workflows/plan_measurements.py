"""A plan from what a person asks to the bundles that travel: stages, choice, export."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Floats, Measurements
from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy, runtime_and_provider
from hdap.requests.plan_request import PlanRequest
from hdap.search.analysis.answer import shortlist
from hdap.search.planning.candidate_pool import around, draw_pool, flops_range
from hdap.search.planning.expected_error import LearningCurve, bundled_curve, learning_curve
from hdap.search.planning.plan_bundles import (
    PlannedBundle,
    Pool,
    assign_bundles,
    interest,
    plan_bundles,
    size_of_batch,
)
from hdap.search.problem.budget import parse_flops_range
from hdap.surrogate.learning.pooled_cells import LEAST_FLEET
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.own_runs import contradicted, own_dense
from hdap.surrogate.training_data.training_cells import TrainingData, training_data
from hdap.workflows.artifacts import ensure_architecture
from hdap.workflows.build_problem import stored_problem
from hdap.workflows.fleet_artifacts import ensure_clustering, ensure_surrogates
from hdap.workflows.given_networks import given_networks
from hdap.workflows.what_runs import by_what_runs, what_runs

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.surrogate.models.base import FleetSurrogate

SECONDS_A_NETWORK = 10.0
"""What measure.pyz takes for a fast network: loading, warm-up, 3 s of runs, references between."""
INFERENCES_A_NETWORK = 120
"""Runs, references and warm-up of a slow one."""
NEIGHBOURS = 40
"""Candidates around each of the best trials."""
UNIFORM_FIRST = 1e3
"""Interest in uniform pruning on a study's grid while it was never measured: above all others."""


@dataclass(frozen=True)
class PlannedBatch:
    """Bundles to write and what to say of them.

    `known` pruned configurations were measured before, in batches of that size, and `fresh` are
    new; `seconds` is about what the slowest device needs; `curve` where the expected error comes
    from; `baselines` the everyday dense latency (ms) of the devices that are asked.
    """

    architecture: Architecture
    clustering: ClusteringRecord
    bundles: tuple[PlannedBundle, ...]
    low: int
    high: int
    step: int | None
    guided: bool
    known: int
    seconds: float
    curve: LearningCurve
    baselines: Mapping[str, float]
    levels: Path | None = None
    portfolio: int | None = None
    batch_size: int = 1

    @property
    def measurements(self) -> int:
        """Measurements of pruned networks over all devices."""
        return sum(bundle.measurements for bundle in self.bundles)

    @property
    def fresh(self) -> int:
        """Pruned configurations that were not measured before."""
        counts = [c for b in self.bundles for c in (b.anchors, b.candidates)]
        return len(np.unique(np.vstack(counts), axis=0))

    @property
    def expected_error(self) -> float:
        """Held-out error (a fraction) to expect after the batch."""
        return self.curve.expected(self.known + self.fresh)


def make_plan(store: "Store", request: PlanRequest, say: Say) -> PlannedBatch:
    """Choose what to measure, from everyday telemetry and whatever was measured before.

    Raises:
        InputError: the budget, the FLOPs range or the study does not fit.
        NotFoundError: no such model or study.
        NotEnoughDataError: the database holds no telemetry, or nothing new is left.
        InfeasibleError: nothing on the grid has these FLOPs.
        UnsupportedModelError: the network takes several inputs.
    """
    architecture = ensure_architecture(store, request.model, say)
    architecture.one_input("measuring on devices")
    clustering = ensure_clustering(store, say)
    measurements = store.measurements(request.model)
    measurements = measurements.at(measurements.batch_size == request.batch)
    given = given_networks(store, request, architecture, clustering)
    known = _Known(store, architecture, clustering, measurements)
    choice = _given_alone(known, given) if request.given_alone else _choice(known, request, say)
    bundles = tuple(
        replace(bundle, anchors=np.unique(np.vstack([bundle.anchors, given]), axis=0))
        for bundle in choice.bundles
    )
    asked = [(device, len(b) + 1) for b in bundles for device in b.devices]
    names = [device for device, _ in asked]
    usual = dense_baselines(measurements, names)
    one = request.run_by
    run_by = what_runs(clustering, names, say) if one is None else dict.fromkeys(names, one)
    return PlannedBatch(
        architecture,
        clustering,
        by_what_runs(bundles, run_by),
        *choice.band,
        choice.step,
        choice.step is not None or request.from_study is not None,
        len(known.measured),
        max(device_seconds(usual.get(device, 0.0), networks) for device, networks in asked),
        choice.curve,
        _own_baselines(measurements, run_by),
        request.levels,
        request.portfolio,
        request.batch,
    )


@dataclass(frozen=True)
class _Known:
    """What a plan begins with: rows of one model in batches of one size, and its clusters."""

    store: "Store"
    architecture: Architecture
    clustering: ClusteringRecord
    measurements: Measurements

    @cached_property
    def measured(self) -> Counts:
        """Different pruned configurations that were measured (m x G)."""
        texts = [text for text in self.measurements.channels if text]
        return np.unique(parse_channels(self.architecture, texts).counts, axis=0)


@dataclass(frozen=True)
class _Choice:
    """Bundles of networks in a range of FLOPs; `step` is the grid of the surrogates that guided it
    (None: nothing guided it)."""

    bundles: tuple[PlannedBundle, ...]
    band: tuple[int, int]
    curve: LearningCurve
    step: int | None = None


def _given_alone(known: _Known, given: Counts) -> _Choice:
    """What exists and nothing else, on every device that measures."""
    cost = flops(known.architecture, given)
    bundles = tuple(
        PlannedBundle(f"bundle-{i + 1}", devices, given, given[:0])
        for i, devices in enumerate(assign_bundles(known.clustering))
    )
    return _Choice(bundles, (int(cost.min()), int(cost.max())), bundled_curve())


def _choice(known: _Known, request: PlanRequest, say: Say) -> _Choice:
    """What would teach the surrogates most; a first batch fills the space."""
    architecture, clustering = known.architecture, known.clustering
    size = size_of_batch(len(clustering.clusters), request.budget, request.per_cluster)
    band = _range(known.store, architecture, request)
    surrogate = _surrogate(known, request.batch, say)
    pool, curve = _pool(architecture, band, surrogate, request.seed), bundled_curve()
    if surrogate is not None:
        data = training_data(architecture, known.measurements, clustering)
        curve = learning_curve(type(surrogate), data, request.seed) or curve
        pool = replace(pool, interest=_interest(surrogate, data, pool.counts))
    if request.from_study is not None:
        pool = _with_neighbours(known.store, pool, request, say)
    bundles = plan_bundles(architecture, clustering, pool, known.measured, band, size)
    return _Choice(tuple(bundles), band, curve, None if surrogate is None else surrogate.step)


def rows_run_by(measurements: Measurements, wanted: RunBy) -> Measurements:
    """The rows that this runtime took in this precision: what others took says nothing of it.

    Rows that do not say what ran them are taken for the default, ONNX Runtime in float32.
    """
    default = DEFAULT_RUN_BY
    names = [runtime_and_provider(text)[0] for text in measurements.runtimes]
    alike = np.array([(name or default.runtime) == wanted.runtime for name in names], np.bool_)
    same = alike[measurements.runtime]
    column = measurements.software.get("precision")
    if column is None:
        same &= wanted.precision == default.precision
    else:
        texts = [(text or default.precision) == wanted.precision for text in column.texts]
        same &= np.array(texts, dtype=np.bool_)[column.codes]
    return measurements.at(same)


def dense_baselines(measurements: Measurements, devices: Sequence[str]) -> dict[str, float]:
    """Median dense latency (ms) of each of these devices that sent any.

    A bundle carries it, so that what a session measures beside its own reference is reported at the
    device's everyday speed, as the dense rows of its telemetry are. Where the device's own runs
    contradict its telemetry it is what they measured.
    """
    usual, own = own_dense(measurements)
    medians = np.where(contradicted(usual, own) | ~np.isfinite(usual), own, usual)
    at = {str(device): i for i, device in enumerate(measurements.devices.ids)}
    found = {device: float(medians[at[device]]) for device in devices if device in at}
    return {device: ms for device, ms in found.items() if np.isfinite(ms)}


def _own_baselines(measurements: Measurements, run_by: Mapping[str, RunBy]) -> dict[str, float]:
    """`dense_baselines` of what each device is to measure with, where its rows are of that."""
    found: dict[str, float] = {}
    for own in dict.fromkeys(run_by.values()):
        devices = [device for device, other in run_by.items() if other == own]
        found |= dense_baselines(rows_run_by(measurements, own), devices)
    return found


def device_seconds(dense_ms: float, networks: int) -> float:
    """About how long a device of that dense latency takes to measure so many networks."""
    return networks * max(SECONDS_A_NETWORK, INFERENCES_A_NETWORK * dense_ms / 1000)


def _range(store: "Store", architecture: Architecture, request: PlanRequest) -> tuple[int, int]:
    if request.flops_range is None:
        studies = [s for s in store.studies() if s.model == architecture.model]
        return flops_range(architecture, [(s.flops_low, s.flops_high) for s in studies])
    dense = int(flops(architecture, architecture.widths[None])[0])
    return parse_flops_range(request.flops_range, dense)


def _surrogate(known: _Known, batch_size: int, say: Say) -> "FleetSurrogate | None":
    """The surrogates where enough was measured to have any; None for a first batch."""
    if batch_size != 1:
        say(f"surrogates guide what runs one by one: batches of {batch_size} fill the space")
        return None
    measured = len(known.measured)
    if measured >= LEAST_FLEET:
        with suppress(NotEnoughDataError):
            return ensure_surrogates(known.store, known.architecture, known.clustering, say)
    say(f"{measured} pruned configurations were measured, too few to learn from: a first batch")
    return None


def _pool(
    architecture: Architecture,
    band: tuple[int, int],
    surrogate: "FleetSurrogate | None",
    seed: int,
) -> Pool:
    step = None if surrogate is None else surrogate.step
    counts, stratum = draw_pool(architecture, *band, step, seed)
    return Pool(counts, stratum, np.ones(len(counts)), np.zeros(len(counts), dtype=np.bool_))


def _interest(surrogate: "FleetSurrogate", data: TrainingData, counts: Counts) -> Floats:
    """Where the surrogate doubts, and where a simple model of the same data disagrees."""
    found = surrogate.predict(counts)
    other = SURROGATES["roofline"].fit(data).predict(counts)
    return interest(found.log_sd, found.log_ms - other.log_ms)


def _with_neighbours(store: "Store", pool: Pool, request: PlanRequest, say: Say) -> Pool:
    """The pool with the best trials of a study and what lies around them."""
    record = store.study(request.from_study)
    if record.model != request.model:
        raise InputError(
            f"`--from-study` must be a study of {request.model}, but {record.name} is of "
            f"{record.model}; name another: hdap trials --studies"
        )
    done = store.trials(record.id)
    problem, _ = stored_problem(store, record)
    best = done.counts[shortlist(problem, done)]
    say(f"half of the batch lies around the {len(best)} best trials of {record.name}")
    near = around(problem.space, problem.band, best, NEIGHBOURS, request.seed)
    # What is promised over uniform rests on uniform; then the short list must be checked.
    counts = np.vstack([problem.best_uniform.counts, best, near])
    worth = np.concatenate([[UNIFORM_FIRST], np.full(len(best), 10.0), np.ones(len(near))])
    return Pool(
        np.vstack([counts, pool.counts]),
        np.concatenate([np.zeros(len(counts), dtype=np.int64), pool.stratum]),
        np.concatenate([worth, pool.interest]),
        np.arange(len(counts) + len(pool.counts)) < len(counts),
    )
