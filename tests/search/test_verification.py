from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, VerificationRecord
from hdap.search.analysis.judgement import Verdict, stored_verdicts
from hdap.search.analysis.verification import Promise, Readings, verify
from hdap.search.problem.fleet_weights import FleetWeights

SHARES = np.array([0.6, 0.4])
FLEET = FleetWeights(SHARES, np.ones((2, 1)), SHARES[:, None])
MS = np.array([[10.0, 12.0, 40.0], [20.0, 24.0, 80.0]])
PROMISE = Promise(MS, 0.95 * MS, 1.05 * MS)


def _readings(
    scale: Floats | float = 1.0,
    each: int = 3,
    others: int = 4,
    other_scale: float = 1.0,
    noise: float = 0.005,
    clusters: tuple[int, ...] = (0, 1),
) -> Readings:
    rng = np.random.default_rng(7)
    cluster = np.repeat(clusters, each + others)
    representative = np.tile(np.arange(each + others) < each, len(clusters))
    factor = rng.uniform(0.9, 1.1, len(cluster))
    ms = MS[cluster] * scale * factor[:, None] * np.exp(noise * rng.normal(size=(len(cluster), 3)))
    ms[~representative] *= other_scale
    ids = np.array([f"d{i}" for i in range(len(cluster))], dtype=object)
    return Readings(ids, cluster, representative, factor, ms)


def _verify(**how: object) -> Verdict:
    return verify(PROMISE, FLEET, _readings(**how))  # type: ignore[arg-type]


def test_a_kept_promise_holds_with_intervals_around_the_truth() -> None:
    verdict = _verify()
    assert verdict.holds
    assert verdict.reasons == ()
    uniform, dense = verdict.speed_ups
    assert (uniform.promised, dense.promised) == pytest.approx((1.2, 4.0))
    assert uniform.measured.low < 1.2 < uniform.measured.high
    assert uniform.measured.high - uniform.measured.low < 0.03
    assert verdict.fleet.measured.value == pytest.approx(14.0, rel=0.01)
    assert all(c.measured.low < c.measured.value < c.measured.high for c in verdict.clusters)
    assert verdict.covered == pytest.approx(1.0)


def test_clusters_without_weight_show_nothing_of_the_fleet() -> None:
    fleet = replace(FLEET, mean=np.array([1.0, 0.0]), shares=np.array([[1.0], [0.0]]))
    with pytest.raises(NotEnoughDataError, match="those that measured are of 1, which have none"):
        verify(PROMISE, fleet, _readings(clusters=(1,)))


def test_over_uniform_a_search_promises_less_than_it_predicts() -> None:
    verdict = verify(replace(PROMISE, over_uniform=0.97), FLEET, _readings())
    uniform, dense = verdict.speed_ups
    assert (uniform.promised, dense.promised) == pytest.approx((0.97 * 1.2, 4.0))
    assert uniform.state == dense.state == "holds"


def test_faster_than_promised_holds() -> None:
    assert _verify(scale=np.array([0.8, 1.0, 1.0])).holds


def test_a_slower_fleet_does_not_hold_though_its_ratios_do() -> None:
    verdict = _verify(scale=1.2)
    assert not verdict.holds
    assert [u.state for u in verdict.speed_ups] == ["holds", "holds"]
    assert verdict.reasons[0].startswith("the fleet mean is above its predicted interval of ")
    assert verdict.conclusion == "does not hold"
    assert "cluster 0 is slower than promised" in verdict.reasons


def test_a_speed_up_below_95_percent_of_the_promise_is_refuted() -> None:
    verdict = _verify(scale=np.array([1.0, 0.9, 1.0]))
    assert verdict.speed_ups[0].state == "refuted"
    assert any(r.startswith("the speed-up over uniform is refuted") for r in verdict.reasons)


def test_a_speed_up_within_5_percent_holds() -> None:
    assert _verify(scale=np.array([1.0, 0.97, 0.97])).holds


def test_too_much_noise_shows_nothing() -> None:
    verdict = _verify(noise=0.15)
    assert "not shown" in {u.state for u in verdict.speed_ups}
    assert not verdict.holds


def test_one_device_a_cluster_has_no_interval_and_shows_nothing() -> None:
    verdict = _verify(each=1)
    assert np.isnan(verdict.speed_ups[0].measured.low)
    assert {u.state for u in verdict.speed_ups} == {"not shown"}
    assert {u.words for u in verdict.speed_ups} == {"not shown: one device a cluster"}
    assert verdict.conclusion == "not shown"
    assert all("gives no interval" in reason for reason in verdict.reasons)
    assert "nan" not in " ".join(verdict.reasons)


def test_what_slows_a_device_cancels_in_its_ratios() -> None:
    readings = _readings()
    slowed = np.where(np.arange(len(readings)) % 3 == 0, 1.3, 1.0)[:, None]
    shaken = Readings(
        readings.device,
        readings.cluster,
        readings.representative,
        readings.factor,
        readings.ms * slowed,
    )
    calm, rough = verify(PROMISE, FLEET, readings), verify(PROMISE, FLEET, shaken)
    width = [v.speed_ups[0].measured.high - v.speed_ups[0].measured.low for v in (calm, rough)]
    assert width[1] < 1.5 * width[0]
    assert rough.fleet.measured.high - rough.fleet.measured.low > 1.0


def test_a_cluster_that_nobody_measured_is_not_covered() -> None:
    verdict = _verify(clusters=(0,))
    assert verdict.covered == pytest.approx(0.6)
    assert not verdict.holds
    assert np.isnan(verdict.clusters[1].measured.value)
    assert verdict.clusters[1].devices == 0
    assert not verdict.clusters[1].holds
    assert verdict.fleet.predicted.value == pytest.approx(10.0)


def test_other_devices_that_do_not_behave_as_their_cluster_question_the_clustering() -> None:
    verdict = _verify(other_scale=1.3)
    assert verdict.sample.agreeing == 0
    assert verdict.reasons == ("only 0 of 8 other devices behave as their cluster: cluster again",)
    assert verdict.conclusion == "does not hold"


@pytest.mark.parametrize(("factor", "off"), [(1 / 2.6, True), (2.6, True), (0.7, False)])
def test_a_prediction_off_by_a_factor_holds_in_neither_direction(factor: float, off: bool) -> None:
    verdict = _verify(scale=factor)
    assert verdict.off == off
    assert verdict.holds == (not off)
    states = {c.words for c in (*verdict.clusters, verdict.fleet)}
    if off:
        assert all(state.startswith(("off by 2.5", "off by 2.6")) for state in states)
        assert verdict.reasons[0].startswith(
            ("predictions are off by 2.5", "predictions are off by 2.6")
        )
        assert "refit" in verdict.reasons[0]
    else:
        assert states == {"as promised"}


def test_a_speed_up_far_better_than_promised_is_no_kept_promise() -> None:
    verdict = _verify(scale=np.array([1.0, 1.0, 2.0]))
    assert [u.state for u in verdict.speed_ups] == ["holds", "off"]
    assert "over dense is off by 2.0" in verdict.reasons[0]


def test_a_cluster_within_tolerance_is_called_as_the_verdict_treats_it() -> None:
    # 3 % above an interval of 5 %: no cluster speaks against the promise, so none may look so
    promise = Promise(MS, 0.95 * MS, 1.05 * MS * np.array([[1.0], [1.3]]))
    verdict = verify(promise, FLEET, _readings(scale=1.08))
    assert [c.words for c in verdict.clusters] == ["as promised", "as promised"]
    assert verdict.holds


def test_what_is_stored_is_judged_by_the_same_rule() -> None:
    record = VerificationRecord(
        *(1, 17, 0, 0.74, 0.5, 1.1, 0.28, float("nan"), float("nan"), 1),
        holds=True,
        trial_holds=True,
        simulated=False,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )
    unmeasured = replace(record, cluster=1, measured_ms=float("nan"), devices=0, holds=False)
    kept = replace(record, number=18, measured_ms=0.73)
    first, second = stored_verdicts([kept, unmeasured, record])
    assert (first.number, first.conclusion, first.off) == (17, "does not hold", True)
    assert "predictions are off by 2.64x" in first.words
    assert [c.words for c in first.clusters] == ["off by 2.64x", "not measured"]
    assert (second.number, second.words) == (18, "holds (measured)")


def test_without_a_sample_the_clustering_is_not_questioned() -> None:
    assert _verify(others=0).holds


def test_without_representatives_there_is_nothing_to_judge() -> None:
    with pytest.raises(NotEnoughDataError, match="representative"):
        _verify(each=0)


def test_the_seed_decides_the_interval() -> None:
    readings = _readings()
    one, same, other = (verify(PROMISE, FLEET, readings, seed=s) for s in (1, 1, 2))
    assert one.speed_ups == same.speed_ups
    assert one.speed_ups != other.speed_ups
