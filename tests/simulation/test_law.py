from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.simulation.calibrated import calibrated
from hdap.simulation.law import KNOTS, slowed
from hdap.simulation.workload import random_counts

LAW = calibrated().law


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), model=st.sampled_from(["resnet50", "mobilenetv1_100"]))
def test_another_block_of_channels_never_costs_less(
    architecture: Callable[[str], Architecture], seed: int, model: str
) -> None:
    network = architecture(model)
    rng = np.random.default_rng(seed)
    rough = random_counts(network, 1, rng)
    narrow = np.minimum(-(-rough // LAW.block) * LAW.block, network.widths)
    group = int(rng.integers(len(network.groups)))
    wide = narrow.copy()
    wide[0, group] = min(narrow[0, group] + LAW.block, network.widths[group])
    times = LAW.profile(network, np.concatenate([narrow, wide])).table
    assert (times[1] >= times[0]).all()


@pytest.mark.parametrize("block", [8, 16, 32])
def test_without_penalties_all_counts_of_one_block_compute_equally_long(
    resnet: Architecture, block: int
) -> None:
    law = replace(LAW, block=block, pack=block, block_penalty=0, pack_penalty=0, input_penalty=0)
    counts = np.tile(resnet.widths, (block, 1))
    counts[:, 0] = 64 - np.arange(block)
    compute, _ = law.parts(resnet, counts)
    assert np.ptp(compute, axis=0).max() == 0
    counts[:, 0] -= block
    assert (law.parts(resnet, counts)[0].sum(axis=1) < compute.sum(axis=1)).all()


def test_one_channel_above_a_block_costs_no_less_than_the_next_block(resnet: Architecture) -> None:
    counts = np.tile(resnet.widths, (3, 1))
    counts[:, resnet.index["layer1.0.conv2"]] = (48, 49, 64)
    at_48, at_49, at_64 = LAW.profile(resnet, counts).quiet_ms
    assert at_49 >= at_64 > at_48


@settings(max_examples=20, deadline=None)
@given(ratio=st.floats(KNOTS[0], KNOTS[-1]), sharpness=st.floats(1.0, 20.0))
def test_profiles_agree_with_the_sum_over_layers(
    architecture: Callable[[str], Architecture], ratio: float, sharpness: float
) -> None:
    network = architecture("mobilenetv1_100")
    law = replace(LAW, sharpness=sharpness)
    counts = random_counts(network, 4, np.random.default_rng(1))
    compute, memory = (x.astype(np.longdouble) for x in law.parts(network, counts))
    memory = memory * ratio
    peak = np.maximum(compute, memory)
    scaled = (compute / peak) ** sharpness + (memory / peak) ** sharpness
    exact = (peak * scaled ** (1 / sharpness) + law.layer_ms).sum(axis=1)
    found = law.profile(network, counts).rows(np.arange(4), np.full(4, ratio))
    assert np.allclose(found, exact.astype(float), rtol=0.003)


def test_a_grid_of_devices_is_the_same_as_row_by_row(resnet: Architecture) -> None:
    profile = LAW.profile(resnet, random_counts(resnet, 6, np.random.default_rng(2)))
    ratio = np.geomspace(0.1, 10, 7)
    grid = profile.grid(ratio)
    for device, value in enumerate(ratio):
        assert np.allclose(grid[:, device], profile.rows(np.arange(6), np.full(6, value)))


def test_half_the_clock_takes_twice_as_long() -> None:
    assert slowed(np.array([10.0]), np.array([0.5]), 0.0, LAW)[0] == 20.0


def test_a_quota_spares_what_fits_into_it_and_slows_the_rest_in_proportion() -> None:
    times = np.array([0.2, 500.0])
    short, long = slowed(times, np.array([0.5, 0.5]), 5.0, LAW) / times
    assert 1.0 <= short < 1.1
    assert long == pytest.approx(2.0, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(
    clock=st.floats(0.1, 1.0),
    short=st.floats(0.1, 200.0),
    more=st.floats(0.0, 50.0),
    period=st.sampled_from([0.0, 5.0]),
)
def test_longer_work_never_ends_earlier(
    clock: float, short: float, more: float, period: float
) -> None:
    pair = slowed(np.array([short, short + more]), np.full(2, clock), period, LAW)
    assert pair[1] >= pair[0] >= short * (1 - 1e-12)


def test_impossible_counts_are_refused(resnet: Architecture) -> None:
    with pytest.raises(InputError, match="conv1"):
        LAW.profile(resnet, resnet.widths[None, :] + 1)
