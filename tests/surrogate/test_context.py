import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.workload import Workload, latency_ms
from hdap.surrogate.context.context_effect import Context, clock_effect
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.registry import SURROGATES, load_surrogate
from hdap.surrogate.training_data.training_cells import TrainingData

RESNET = "resnet50"
SLOW = Context(clock_scale=0.6)
KINDS = ("contended", "fresh", "hot", "power-save")


@pytest.fixture(scope="module")
def fitted(learned_from: Callable[[str], TrainingData]) -> FleetModel:
    return FleetModel.fit(learned_from(RESNET))


@pytest.fixture(scope="module")
def simulated(architecture: Callable[[str], Architecture]) -> "Simulated":
    return Simulated(architecture(RESNET))


class Simulated:
    """Two kinds of simulated cameras whose clocks wander, and what is true of them."""

    def __init__(self, architecture: Architecture) -> None:
        spec = preset("cameras", 12, seed=3)
        spec = replace(spec, kinds=tuple(k for k in spec.kinds if k.name in ("shade", "sun")))
        self.architecture = architecture
        self.fleet: SimulatedFleet = draw_fleet(spec)
        rng = np.random.default_rng(0)
        widths = architecture.widths
        low = widths // 3
        pruned = rng.integers(low, widths + 1, (60, len(widths)))
        self.designs = np.vstack([widths[None, :], pruned])
        self.unseen: Counts = rng.integers(low, widths + 1, (40, len(widths)))

    def truth(self, counts: Counts, device: Ints, design: Ints, level: Floats) -> Floats:
        profiles = Workload.of([(self.architecture, counts)]).profiles(self.fleet.spec.laws)
        return latency_ms(self.fleet, profiles, device, design, level, self.fleet.traffic[device])

    def rows(self, noise: float = 0.01, wander: bool = True) -> TrainingData:
        """40 rows a device: half at full clock, half throttled down to 60 %."""
        rng = np.random.default_rng(1)
        devices = len(self.fleet)
        device = np.repeat(np.arange(devices), 40)
        design = np.concatenate([rng.permutation(len(self.designs))[:40] for _ in range(devices)])
        design[::10] = 0
        throttled = (rng.random(len(device)) < 0.4) & wander
        level = np.where(throttled, rng.uniform(0.6, 0.9, len(device)), 1.0)
        clean = self.truth(self.designs, device, design, level)
        latency = clean * np.exp(noise * rng.standard_normal(len(device)))
        ones = np.ones(len(device))
        return TrainingData(
            architecture=self.architecture,
            designs=self.designs,
            configuration=design,
            cluster=self.fleet.kind[device],
            device=device,
            device_factor=ones,
            drift=ones,
            latency_ms=latency,
            runs=ones,
            measured_at=60.0 * np.arange(len(device), dtype=np.float64),
            shares=np.array([0.5, 0.5]),
            relative_latency=np.ones(2),
            context={"cpu_freq_mhz": 1800.0 * self.fleet.clock[device] * level},
        )

    def typical(self, cluster: int, scale: float) -> Floats:
        """True log ms of the unseen networks on the median device of a kind."""
        mine = np.flatnonzero(self.fleet.kind == cluster)
        device = np.repeat(mine, len(self.unseen))
        design = np.tile(np.arange(len(self.unseen)), len(mine))
        level = np.full(len(device), scale)
        every = self.truth(self.unseen, device, design, level).reshape(len(mine), -1)
        return np.log(np.median(every, axis=0))


def _error(log_error: Floats) -> float:
    return float(np.abs(np.expm1(log_error)).mean())


@pytest.mark.parametrize("asked", ["fresh", "contended", "hot"])
def test_a_kind_left_out_is_foretold_at_its_clock_by_the_others(
    learned_from: Callable[[str], TrainingData], asked: str
) -> None:
    data = learned_from(RESNET)
    left_out = data.cluster == KINDS.index("power-save")
    surrogate = FleetModel.fit(data.at(~left_out))
    cells = data.at(left_out).cells
    clock = float(np.median(data.context["cpu_freq_mhz"][left_out]))
    of = KINDS.index(asked)
    context = Context(clock_scale=clock / surrogate.context_range[of].typical)
    found = surrogate.predict(cells.counts, context)
    error = found.log_ms[:, of] - cells.log_ms
    assert _error(error) < 0.05
    assert _error(error) < 0.12 * _error(
        surrogate.predict(cells.counts).log_ms[:, of] - cells.log_ms
    )
    assert (np.abs(error) < np.log(found.high_ms / found.ms)[:, of]).mean() > 0.85


def test_the_effect_of_the_clock_is_true_to_the_simulated_machine(simulated: Simulated) -> None:
    surrogate = FleetModel.fit(simulated.rows())
    for scale in (0.85, 0.7, 0.5):
        then = surrogate.predict(simulated.unseen, Context(clock_scale=scale))
        today = surrogate.predict(simulated.unseen)
        for cluster in (0, 1):
            longer = (then.log_ms - today.log_ms)[:, cluster]
            true = simulated.typical(cluster, scale) - simulated.typical(cluster, 1.0)
            assert _error(longer - true) < 0.01
            assert _error(longer - true) < 0.25 * _error(-np.log(scale) - true)


def test_what_computes_suffers_more_than_what_moves_memory(simulated: Simulated) -> None:
    effect = FleetModel.fit(simulated.rows()).context
    assert effect is not None
    compute, memory = effect.mean[:2]
    assert compute == pytest.approx(1.0, abs=0.15)
    assert memory < 0.8 * compute


def test_rows_taken_at_other_clocks_are_learned_as_if_at_the_usual_one(
    simulated: Simulated,
) -> None:
    data = simulated.rows()
    blind = FleetModel.fit(replace(data, context={})).predict(simulated.unseen)
    found = FleetModel.fit(data).predict(simulated.unseen)
    for cluster in (0, 1):
        true = simulated.typical(cluster, 1.0)
        assert _error(found.log_ms[:, cluster] - true) < 0.02
        ours, theirs = (_error(p.log_ms[:, cluster] - true) for p in (found, blind))
        assert ours < 0.7 * theirs


def test_a_clock_that_says_nothing_changes_no_prediction(
    simulated: Simulated,
) -> None:
    data = simulated.rows(wander=False)
    rng = np.random.default_rng(5)
    idle = replace(data, context={"cpu_freq_mhz": rng.uniform(900.0, 1800.0, len(data))})
    plain = FleetModel.fit(replace(data, context={})).predict(simulated.unseen)
    with_idle = FleetModel.fit(idle).predict(simulated.unseen)
    assert (with_idle.log_ms == plain.log_ms).all()
    assert (with_idle.log_sd == plain.log_sd).all()


def test_heat_that_slows_is_learned_and_heat_that_does_not_is_refused(
    simulated: Simulated,
) -> None:
    data = simulated.rows(wander=False)
    warmer = np.random.default_rng(2).uniform(-15.0, 15.0, len(data))
    context = dict(data.context) | {"temperature_c": 50.0 + warmer}
    hot = replace(data, context=context, latency_ms=data.latency_ms * np.exp(0.004 * warmer))
    surrogate = FleetModel.fit(hot)
    today = surrogate.predict(simulated.unseen)
    then = surrogate.predict(simulated.unseen, Context(temperature_shift=10.0))
    assert np.median(then.ms / today.ms) == pytest.approx(1.04, abs=0.01)
    idle = FleetModel.fit(replace(data, context=context))
    with pytest.raises(InputError, match="the temperature must be reported and move latency"):
        idle.predict(simulated.unseen, Context(temperature_shift=10.0))


def test_intervals_widen_beyond_the_clocks_that_were_seen(fitted: FleetModel) -> None:
    counts = fitted.architecture.widths[None, :]
    seen = fitted.context_range[KINDS.index("fresh")]
    assert (seen.column, seen.low, seen.high) == ("cpu_freq_mhz", 2500.0, 2600.0)
    widths = [
        fitted.predict(counts, Context(clock_scale=s)).log_sd[0] for s in (1.0, 0.97, 0.6, 0.2)
    ]
    fresh = [float(w[KINDS.index("fresh")]) for w in widths]
    assert fresh[0] < fresh[1] < fresh[2] < fresh[3]
    assert fresh[1] < 1.2 * fresh[0]
    assert fresh[3] > 3 * fresh[2]


def test_the_typical_context_is_today_to_the_last_digit(fitted: FleetModel) -> None:
    counts = fitted.architecture.widths[None, :] // 2
    assert (fitted.predict(counts, Context()).log_ms == fitted.predict(counts).log_ms).all()
    assert (fitted.predict(counts, Context()).log_sd == fitted.predict(counts).log_sd).all()


def test_context_is_stored_and_calibrated_with_the_surrogate(fitted: FleetModel) -> None:
    counts = fitted.architecture.widths[None, :] // 2
    restored = load_surrogate("fleet", fitted.architecture, fitted.payloads())
    assert restored.context_range == fitted.context_range
    assert (restored.predict(counts, SLOW).log_ms == fitted.predict(counts, SLOW).log_ms).all()
    assert (restored.predict(counts, SLOW).log_sd == fitted.predict(counts, SLOW).log_sd).all()
    wider = fitted.calibrated(np.full(4, 2.0)).predict(counts, SLOW)
    assert (wider.log_sd > fitted.predict(counts, SLOW).log_sd).all()


def test_payloads_of_the_first_format_load_without_context(fitted: FleetModel) -> None:
    old = load_surrogate("fleet", fitted.architecture, tuple(map(_format_1, fitted.payloads())))
    counts = fitted.architecture.widths[None, :] // 2
    assert (old.predict(counts).log_ms == fitted.predict(counts).log_ms).all()
    assert old.context_range == ()
    with pytest.raises(InputError, match="load rows with `cpu_freq_mhz`: hdap ingest"):
        old.predict(counts, SLOW)


@pytest.mark.parametrize("kind", sorted(SURROGATES))
def test_without_a_reported_clock_the_question_is_refused(
    learned_from: Callable[[str], TrainingData], kind: str
) -> None:
    data = replace(learned_from("mobilenetv1_100"), context={})
    surrogate = SURROGATES[kind].fit(data)
    assert surrogate.context_range == ()
    with pytest.raises(InputError, match="cpu_freq_mhz"):
        surrogate.predict(data.designs[:1], SLOW)


def test_clusters_and_rows_without_a_clock_are_borne(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from(RESNET)
    clock = data.context["cpu_freq_mhz"].copy()
    clock[data.cluster == 0] = np.nan
    clock[::7] = np.nan
    surrogate = FleetModel.fit(replace(data, context={"cpu_freq_mhz": clock}))
    assert np.isnan(surrogate.context_range[0].typical)
    found = surrogate.predict(data.designs[:3], SLOW)
    assert np.isfinite(found.log_ms).all()
    assert found.log_sd[0, 0] > 1.2 * surrogate.predict(data.designs[:3]).log_sd[0, 0]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_clocks_are_refused(scale: float) -> None:
    with pytest.raises(InputError, match="`clock_scale` must be above 0"):
        Context(clock_scale=scale)


@settings(max_examples=60, deadline=None)
@given(
    compute=st.floats(-2, 3), memory=st.floats(-2, 3), share=st.floats(0, 1), r=st.floats(0.05, 2)
)
def test_a_slower_clock_never_makes_faster(
    compute: float, memory: float, share: float, r: float
) -> None:
    mean, shares = np.array([compute, memory]), np.array([share])
    slow, _ = clock_effect(mean, shares, np.array([r]))
    slower, _ = clock_effect(mean, shares, np.array([0.9 * r]))
    assert slower[0] >= slow[0] - 1e-12
    assert clock_effect(mean, shares, np.array([1.0]))[0][0] == 0.0


def _format_1(payload: bytes) -> bytes:
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        arrays = {n: archive[n] for n in archive.files if not n.startswith("context_")}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(arrays | {"format": np.array(1)}))
    return buffer.getvalue()
