from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import check_counts, flops
from hdap.fleet_data.errors import InputError
from hdap.simulation.workload import counts_of, random_counts


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_text_reads_back_to_the_same_counts(
    architecture: Callable[[str], Architecture], seed: int
) -> None:
    network = architecture("resnet50")
    counts = random_counts(network, 5, np.random.default_rng(seed))
    check_counts(network, counts)
    assert np.array_equal(counts_of(network, format_channels(network, counts)), counts)


@pytest.mark.parametrize("text", ["nothing=3", "conv1", "conv1=65", "conv1=0", "conv1=-4"])
def test_text_that_is_no_configuration_is_refused(resnet: Architecture, text: str) -> None:
    with pytest.raises(InputError, match="channel"):
        counts_of(resnet, (text,))


def test_random_configurations_spread_over_the_flops(resnet: Architecture) -> None:
    work = flops(resnet, random_counts(resnet, 300, np.random.default_rng(0)))
    dense = int(flops(resnet, resnet.widths[None, :])[0])
    low, high = np.quantile(work / dense, [0.1, 0.9])
    assert low < 0.3
    assert high > 0.6
