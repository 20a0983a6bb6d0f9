"""When today's network is still the one to ship."""

import numpy as np
import pytest

from hdap.search.analysis.promised_gain import PromisedGain
from hdap.workflows.compare_fleets import FleetsCompared, TodaysAnswer


def compared(gain: float, doubt: float, *, allowed: bool = True) -> FleetsCompared:
    then = np.array([10.0 * gain, 10.0])
    return FleetsCompared(
        today=TodaysAnswer("study", 7, None, np.zeros(1, int)),  # type: ignore[arg-type]
        fleet_as="firmware=2:100%",
        title="fleet mean",
        today_ms=np.array([12.0, 12.5]),
        then_ms=then,
        flops=np.array([1e9, 1e9]),
        kept=np.array([0.5, 0.5]),
        gain=PromisedGain(gain, doubt),
        allowed=allowed,
    )


@pytest.mark.parametrize(
    ("gain", "doubt", "stays"),
    [(1.005, 0.0, True), (1.05, 0.01, False), (1.05, 0.06, True), (0.97, 0.01, True)],
)
def test_a_gain_must_be_material_and_beyond_doubt(gain: float, doubt: float, stays: bool) -> None:
    found = compared(gain, doubt)
    assert found.stays is stays
    assert ("still the network to ship" in found.words) is stays


def test_a_network_that_no_longer_keeps_what_is_asked_goes() -> None:
    found = compared(1.0, 0.01, allowed=False)
    assert not found.stays
    assert found.words.endswith("does not keep what is asked there: ship the new one")
