"""Which runtime a device is judged by, where devices of a fleet have several."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hdap.fleet_data.records import Measurements
from hdap.workflows.verify_trial import _runtimes


def test_a_device_is_judged_by_the_runtime_of_most_of_its_rows(
    measured: Callable[[str], Measurements],
) -> None:
    rows = measured("mobilenetv1_100")
    # Device 0 has a row of another runtime, device 1 all of its rows, device 2 none.
    runtime = np.where(rows.device == 1, 2, 1)
    first = np.flatnonzero(rows.device == 0)
    runtime[first[0]] = 2
    found = np.flatnonzero(rows.device != 2)
    told = replace(rows, runtimes=("", "a", "b"), runtime=runtime)
    assert _runtimes(told, found)[:4].tolist() == [1, 2, -1, 1]
