from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.requests.compression_request import CompressRequest
from hdap.requests.recipe import Recipe
from hdap.workflows.compress_network import (
    HDAP_CUT,
    flops_schedule,
    step_cut,
    step_limits,
)

REQUEST = CompressRequest("resnet50", "1.0G", "images", Recipe(), steps=5, weights="dense.pt")


@given(dense=st.integers(10**6, 10**10), share=st.floats(0.05, 1.0), steps=st.integers(1, 10))
def test_a_schedule_falls_by_equal_ratios_to_the_budget(
    dense: int, share: float, steps: int
) -> None:
    budget = round(dense * share)
    found = flops_schedule(dense, budget, steps)
    assert len(found) == steps
    assert found[-1] == budget
    ratios = np.array(found) / np.array([dense, *found[:-1]])
    assert ratios == pytest.approx(np.full(steps, (budget / dense) ** (1 / steps)), rel=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"min_accuracy_ratio": 1.5}, "min_accuracy_ratio=1.5"),
        ({"guard_share": 0.0}, "guard_share=0.0"),
        ({"candidates": 11}, "candidates=11"),
        ({"max_cut": 1.0}, "max_cut=1.0"),
        ({"trials": 0}, "trials=0"),
        ({"weights": ""}, "--weights FILE or --pretrained"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(REQUEST, **changed)  # type: ignore[arg-type]


def test_a_step_may_take_what_hdap_takes_or_what_the_budget_needs() -> None:
    assert step_cut(REQUEST, 1000, 950) == HDAP_CUT
    # Uniform pruning to a quarter of the FLOPs halves the channels.
    assert step_cut(REQUEST, 1000, 250) == 1.0
    assert step_cut(REQUEST, 1000, 640) == pytest.approx(0.4)
    assert step_cut(replace(REQUEST, max_cut=0.1), 1000, 250) == 0.1
    assert step_cut(replace(REQUEST, steps=1), 1000, 950) == 1.0


def test_limits_narrow_from_where_the_network_is(
    architecture: Callable[[str], Architecture],
) -> None:
    resnet50 = architecture("resnet50")
    counts = resnet50.widths // 2
    limits = step_limits(resnet50, counts, 0.25)
    assert list(limits) == [group.name for group in resnet50.groups]
    assert limits["conv1"] == (24, 32)
    assert all(1 <= low <= high for low, high in limits.values())
    assert step_limits(resnet50, counts, 1.0)["conv1"] == (1, 32)
