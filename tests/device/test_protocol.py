import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hdap.device.measure.protocol
from hdap.device.measure.bundle_manifest import BundleEntry
from hdap.device.measure.estimate import (
    Estimate,
    Slice,
    baseline,
    middle_mean,
    ratio_of,
    reference_at,
)
from hdap.device.measure.measuring_session import schedule
from hdap.device.measure.protocol import (
    MOST_WARMUP_RUNS,
    SLICES,
    Protocol,
    Stopwatch,
    marks,
    measure_one,
)
from hdap.device.measure.results_file import SCALED, rescale

Slowdown = Callable[[float], float]


@dataclass
class Machine:
    """A clock that only moves when networks run, slowed by what else goes on."""

    slowdown: Slowdown = lambda now: 1.0
    noise: float = 0.01
    seconds: float = 0.0
    inferences: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def stopwatch(self, latency: float) -> Stopwatch:
        def run() -> None:
            self.inferences += 1
            factor = self.slowdown(self.seconds) * math.exp(self.rng.gauss(0, self.noise))
            self.seconds += latency * factor

        return Stopwatch(run, lambda: self.seconds)


def _measure(
    machine: Machine, latency: float, reference: float = 0.05, protocol: Protocol | None = None
) -> Estimate:
    result, _ = measure_one(
        machine.stopwatch(latency), machine.stopwatch(reference), protocol or Protocol()
    )
    return result


def test_on_a_quiet_machine_the_ratio_is_that_of_the_latencies() -> None:
    result = _measure(Machine(), 0.020)
    assert result.ratio.value == pytest.approx(0.4, rel=0.005)
    assert result.raw_s == pytest.approx(0.020, rel=0.005)
    assert result.ratio.low <= result.ratio.value <= result.ratio.high
    assert marks(result, Stopwatch(lambda: None, stable=True), Protocol()) == ""
    assert result.runs >= 50


@given(heat=st.floats(0.0, 1.0), per_second=st.floats(0.001, 0.05), latency=st.floats(0.002, 0.080))
@settings(max_examples=25, deadline=None)
def test_heat_that_slows_everything_is_taken_out(
    heat: float, per_second: float, latency: float
) -> None:
    machine = Machine(lambda now: 1 + heat * (1 - math.exp(-per_second * now)))
    machine.seconds = 1.0
    assert _measure(machine, latency).ratio.value == pytest.approx(latency / 0.05, rel=0.01)


@pytest.mark.parametrize(("period", "within"), [(1.5, 0.06), (4.0, 0.02), (30.0, 0.01)])
def test_load_that_comes_and_goes_moves_the_raw_value_only(period: float, within: float) -> None:
    def slowdown(now: float) -> float:
        return 2.0 if now % period < 0.6 * period else 1.0

    results = []
    for start in range(6):
        machine = Machine(slowdown, seconds=start * period / 6)
        results.append(_measure(machine, 0.020))
    assert [r.ratio.value for r in results] == pytest.approx([0.4] * 6, rel=within)
    if period == 30.0:
        raw = [r.raw_s for r in results]
        assert max(raw) / min(raw) > 1.9


@dataclass
class SharedCore(Machine):
    """Another process has the core for 8 of every 16 ms; CPU time does not count that."""

    worked: float = 0.0
    waits: float = 0.0

    def stopwatch(self, latency: float, has_cpu: bool = True) -> Stopwatch:
        def run() -> None:
            left = latency * math.exp(self.rng.gauss(0, self.noise))
            self.worked += left
            self.seconds += self.waits if latency < 0.01 else 0.0
            while left > 1e-12:
                phase = self.seconds % 0.016
                if phase < 0.008 - 1e-9:
                    step = min(left, 0.008 - phase)
                    left -= step
                    self.seconds += step
                else:
                    self.seconds += 0.016 - phase + 1e-9

        return Stopwatch(run, lambda: self.seconds, (lambda: self.worked) if has_cpu else None)


@pytest.mark.parametrize(("has_cpu", "within"), [(True, 0.005), (False, 0.03)])
def test_preemption_hits_short_and_long_inferences_alike_after_correction(
    has_cpu: bool, within: float
) -> None:
    # A 2 ms inference mostly runs undisturbed, one of 50 ms never does.
    machine = SharedCore()
    result, _ = measure_one(
        machine.stopwatch(0.002, has_cpu), machine.stopwatch(0.05, has_cpu), Protocol()
    )
    assert result.raw_s / result.reference_s < 0.025
    assert result.ratio.value == pytest.approx(0.04, rel=within)
    assert result.clock == ("cpu" if has_cpu else "wall")


def test_percentiles_are_on_the_scale_of_the_ratio() -> None:
    # Every 30th inference stalls: slice means, which the ratio is of, lie above most inferences.
    stalls = Machine()
    stalls.slowdown = lambda now: 80.0 if stalls.inferences % 30 == 0 else 1.0
    shared = SharedCore()
    for machine in (stalls, shared):
        result, _ = measure_one(machine.stopwatch(0.002), machine.stopwatch(0.05), Protocol())
        assert result.ratio.value <= result.p90 <= result.p95 <= result.p99


def test_the_wall_clock_has_a_veto_where_a_network_waits() -> None:
    machine = SharedCore(waits=0.002)
    result, _ = measure_one(machine.stopwatch(0.002), machine.stopwatch(0.05), Protocol())
    assert result.clock == "wall"
    assert result.ratio.value > 0.05


def test_a_reference_that_never_holds_still_is_tried_again_and_marked() -> None:
    machine = Machine()
    jumps = random.Random(1)
    levels = [jumps.uniform(1, 3) for _ in range(10_000)]
    machine.slowdown = lambda now: levels[int(now * 5)]
    result, attempts = measure_one(machine.stopwatch(0.02), machine.stopwatch(0.05), Protocol())
    assert attempts == 2
    assert not result.ratio.enough
    assert "reference-moved" in marks(result, machine.stopwatch(0.02), Protocol())


def test_slices_beside_a_jump_are_replaced_by_settled_ones() -> None:
    machine = Machine(lambda now: 1.0 if now < 3.0 else 1.5, noise=0.002)
    result = _measure(machine, 0.02)
    assert result.ratio.enough
    assert sum(result.ratio.used) >= SLICES
    assert not all(result.ratio.used)
    assert result.ratio.value == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize("latency", [1e-7, 1e-4, 5.0])
def test_measuring_ends_on_very_fast_and_very_slow_devices(latency: float) -> None:
    machine = Machine()
    result = _measure(machine, latency, reference=2 * latency)
    assert machine.inferences < 2_000_000
    if latency == 5.0:
        assert machine.seconds < 400
        assert result.runs < 50
    assert result.ratio.value == pytest.approx(0.5, rel=0.02)


def test_a_clock_that_stands_still_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Protocol(runs=2, seconds=0.01, warmup_seconds=0.01)
    monkeypatch.setattr(hdap.device.measure.protocol, "MOST_RUNS_IN_A_SLICE", 50)
    result = _measure(Machine(), 0.0, 0.0, protocol)
    assert result.ratio.value == pytest.approx(1.0)


def test_warm_up_lasts_until_two_windows_agree() -> None:
    machine = Machine(lambda now: 1 + 4 * math.exp(-now / 0.3), noise=0.0)
    cold = machine.stopwatch(0.02)
    cold.warm_up(Protocol())
    assert cold.stable
    assert machine.slowdown(machine.seconds) < 1.15
    assert cold.warmups >= 10


def test_warm_up_takes_at_least_half_a_second_and_ten_runs() -> None:
    fast, slow = Machine(noise=0.0), Machine(noise=0.0)
    quick, heavy = fast.stopwatch(0.001), slow.stopwatch(1.0)
    quick.warm_up(Protocol())
    heavy.warm_up(Protocol())
    assert fast.seconds >= 0.5
    assert quick.stable
    assert heavy.warmups == 10


def test_warm_up_that_never_settles_is_bounded_and_marked() -> None:
    machine = Machine(noise=0.0)
    machine.slowdown = lambda now: 1.02**machine.inferences
    network = machine.stopwatch(0.01)
    network.warm_up(Protocol())
    assert not network.stable
    assert network.warmups <= MOST_WARMUP_RUNS
    quiet = Machine()
    result = _measure(quiet, 0.02)
    assert marks(result, network, Protocol()) == "warm-up-unstable"


def test_the_reference_is_interpolated_in_log_latency() -> None:
    references = [Slice(-0.5, (1.0,)), Slice(8.0, (4.0,))]
    at = reference_at(np.array([0.0, 5.0, 10.0, 20.0]), references)
    assert at == pytest.approx([1.0, 2.0, 4.0, 4.0])


def test_the_interval_of_the_ratio_covers_as_it_says() -> None:
    rng = np.random.default_rng(0)
    references = [Slice(float(i), (1.0,)) for i in range(16)]
    inside = 0
    for trial in range(200):
        slices = [Slice(i + 0.5, (float(x),)) for i, x in enumerate(rng.lognormal(0, 0.03, 15))]
        ratio = ratio_of(slices, references, 0.05, seed=trial)
        inside += ratio.low <= 1.0 <= ratio.high
    assert 0.86 <= inside / 200 <= 0.99


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_middle_mean_ignores_the_outer_quarters(values: list[float]) -> None:
    mean = float(middle_mean(np.array(values)))
    assert min(values) * (1 - 1e-12) <= mean <= max(values) * (1 + 1e-12)
    quarter = len(values) // 4
    spoiled = sorted(values)[: len(values) - quarter] + [1e9] * quarter
    assert float(middle_mean(np.array(spoiled))) == pytest.approx(mean)


def test_the_baseline_stays_when_load_was_on_for_half_of_the_session() -> None:
    quiet, loaded = [50.0, 50.4, 49.8, 50.2], [98.0, 101.0, 100.0]
    assert baseline(quiet + loaded) == pytest.approx(50.2, rel=0.01)
    assert baseline(quiet) == pytest.approx(50, rel=0.01)
    cpu, waits = [50.0] * 7, [1.0, 1.9, 2.1, 2.0, 1.8, 2.0, 1.7]
    assert baseline([100.0] * 7, cpu, waits) < 75


def test_a_quota_that_never_pauses_is_part_of_the_device() -> None:
    assert baseline([50.0] * 5, [50.0] * 5, [2.0] * 5) == pytest.approx(100)


def test_the_baseline_needs_the_cpu_time_of_every_row() -> None:
    assert baseline([60.0] * 5, [50.0] * 4, [1.0] * 4) == pytest.approx(60)


def test_rows_get_one_baseline_and_keep_their_ratios() -> None:
    rows = [_row(quiet, ratio) for quiet, ratio in ((50.0, 0.4), (52.0, 0.5), (99.0, 0.4))]
    rescale(rows)
    latencies = [float(r["latency_ms"]) for r in rows]
    assert latencies[0] == pytest.approx(latencies[2])
    assert latencies[1] == pytest.approx(latencies[0] * 1.25)
    assert float(rows[2]["reference_drift_pct"]) == pytest.approx(100 * (99 / 51 - 1), abs=0.01)
    rescale(rows, fixed_ms=100.0)
    assert [float(r["latency_ms"]) for r in rows] == pytest.approx([40, 50, 40])
    assert float(rows[0]["energy_mj"]) == pytest.approx(5 * 40)


def _row(quiet: float, ratio: float) -> dict[str, str]:
    row = {name: f"{ratio * quiet}" for name in SCALED}
    levels = dict.fromkeys(("baseline_ms", "reference_ms", "reference_quiet_ms"), f"{quiet}")
    unknown = {"reference_cpu_ms": "", "reference_wait": ""}
    return {**row, **levels, **unknown, "power_w": "5"}


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_every_round_has_everything_once_and_anchors_come_first(seed: int, rounds: int) -> None:
    roles = ["reference", "anchor", "anchor"] + ["candidate"] * 6
    entries = [BundleEntry(f"{i}.onnx", "", f"g={i}", role) for i, role in enumerate(roles)]
    order = schedule(entries, rounds, seed)
    for number in range(1, rounds + 1):
        mine = [e for n, e in order if n == number]
        assert sorted(e.file for e in mine) == sorted(e.file for e in entries)
        assert mine[0].role == "reference"
    assert {e.role for _, e in order[1:3]} == {"anchor"}
    assert order == schedule(list(reversed(entries)), rounds, seed)


def test_the_order_differs_between_rounds_and_seeds() -> None:
    entries = [BundleEntry(f"{i}.onnx", "", f"g={i}", "candidate") for i in range(12)]
    order = schedule(entries, 2, 0)
    assert [e for _, e in order[:12]] != [e for _, e in order[12:]]
    assert order != schedule(entries, 2, 1)
