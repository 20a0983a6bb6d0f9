import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import VariantClusterRecord, VariantRecord
from hdap.portfolio.deadline_selection import serve_deadline
from hdap.portfolio.variant_selection import select
from hdap.search.sizes.device_speeds import DeviceSpeeds

BASE = VariantRecord(
    variant="v0",
    channels="",
    parameters=10,
    bytes=100,
    flops=100,
    kept_importance=0.5,
    accuracy=0.5,
    fleet_mean_ms=10.0,
    fleet_mean_low_ms=9.0,
    fleet_mean_high_ms=11.0,
    measured_here_ms=1.0,
    provenance={},
)


def _variant(name: str, **figures: float) -> VariantRecord:
    return replace(BASE, variant=name, **figures)  # type: ignore[arg-type]


def test_a_variant_that_another_beats_in_all_is_left_out_and_the_other_named() -> None:
    slow = _variant("v1", flops=200, fleet_mean_ms=12.0, accuracy=0.4)
    found = select([BASE, slow])
    assert found.kept == (BASE,)
    assert [(x.variant, x.why) for x in found.left_out] == [("v1", "is dominated by v0")]
    assert found.compared_by == ("predicted fleet mean", "bytes", "accuracy")


def test_one_better_figure_is_enough_to_stay() -> None:
    better = [
        _variant("v1", flops=200, fleet_mean_ms=12.0, accuracy=0.6),
        _variant("v2", flops=300, fleet_mean_ms=9.0, bytes=200, accuracy=0.4),
        _variant("v3", flops=400, fleet_mean_ms=20.0, bytes=50, accuracy=0.1),
    ]
    assert [v.variant for v in select([BASE, *better]).kept] == ["v0", "v1", "v2", "v3"]


def test_of_equals_the_first_stays() -> None:
    found = select([BASE, _variant("v1")])
    assert [v.variant for v in found.kept] == ["v0"]
    assert found.left_out[0].why == "is as fast, small and good as v0"


def test_figures_that_are_not_known_of_all_do_not_count() -> None:
    blind = _variant("v1", flops=200, fleet_mean_ms=math.nan, accuracy=math.nan)
    found = select([BASE, blind])
    assert found.compared_by == ("latency measured here", "bytes", "kept importance")
    nothing = _variant("v2", flops=300, fleet_mean_ms=math.nan, measured_here_ms=math.nan)
    assert select([BASE, nothing]).compared_by == ("FLOPs", "bytes", "accuracy")
    assert [v.variant for v in select([BASE, nothing]).kept] == ["v0"]


def test_of_too_many_those_go_that_stand_closest() -> None:
    many = [
        _variant(f"v{i}", flops=flops, fleet_mean_ms=float(flops), accuracy=i / 10)
        for i, flops in enumerate((100, 200, 210, 400, 800))
    ]
    assert [v.variant for v in select(many, 4).kept] == ["v0", "v1", "v3", "v4"]
    assert [v.flops for v in select(many, 2).kept] == [100, 800]
    assert [v.flops for v in select(many, 1).kept] == [800]
    assert select(many, 4).left_out[0].why == "is beyond the 4 variants asked for"


@given(
    st.lists(st.tuples(*[st.integers(1, 4)] * 4), min_size=1, max_size=8),
    st.none() | st.integers(1, 8),
)
def test_all_that_stay_are_worth_it_and_all_that_go_are_named(
    figures: list[tuple[int, int, int, int]], most: int | None
) -> None:
    variants = [
        _variant(f"v{i}", flops=f, fleet_mean_ms=float(ms), bytes=b, accuracy=float(a))
        for i, (f, ms, b, a) in enumerate(figures)
    ]
    found = select(variants, most)
    assert sorted([v.variant for v in found.kept] + [x.variant for x in found.left_out]) == sorted(
        v.variant for v in variants
    )
    assert 1 <= len(found.kept) <= (most or len(variants))
    whole = {v.variant for v in select(variants).kept}
    cost = {v.variant: (v.fleet_mean_ms, v.bytes, -v.accuracy) for v in variants}
    for name in whole:
        assert not any(
            other != cost[name] and all(a <= b for a, b in zip(other, cost[name], strict=True))
            for other in cost.values()
        )
    for left in select(variants).left_out:
        assert left.why.split()[-1] in whole


def test_a_deadline_keeps_the_variants_that_serve_its_devices() -> None:
    ids = np.array(["fast", "slow", "slower"], dtype=object)
    factors = np.log(np.array([1.0, 2.0, 2.1]))
    devices = DeviceSpeeds(ids, np.zeros(3, np.int64), np.full(3, 1 / 3), factors, np.zeros(3))
    kept = tuple(
        replace(
            _variant(f"v{i}", flops=100 * i, accuracy=0.1 * i, fleet_mean_ms=4.0 * i),
            clusters=(VariantClusterRecord(0, 4.0 * i, 3.9 * i, 4.1 * i),),
        )
        for i in (1, 2, 3, 4, 5, 6)
    )
    found = serve_deadline(select(kept), devices, 20.0, 2)
    assert [v.variant for v in found.kept] == ["v2", "v4"]
    assert "serves no device better within 20 ms" in found.left_out[0].why
    with pytest.raises(InfeasibleError, match="fastest of 6 reaches"):
        serve_deadline(select(kept), devices, 5.0, 2)
