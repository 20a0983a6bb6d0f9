from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Channels, Layer, WidthGroup
from hdap.fleet_data.costs import flops
from hdap.surrogate.learning.physics import ALIGNMENTS, BLOCKS, TERMS, Physics, layer_class

MACS = TERMS.index("macs")


@pytest.fixture(scope="module")
def two_layers() -> Architecture:
    layers = (
        Layer("stem", "conv", Channels(3), Channels(0, ((0, 1),)), (4, 4), (4, 4), (3, 3)),
        Layer("next", "conv", Channels(0, ((0, 1),)), Channels(10), (4, 4), (2, 2), (1, 1), (2, 2)),
    )
    return Architecture("tiny", (3, 4, 4), (WidthGroup("stem", 40, ("stem",)),), layers)


def test_terms_by_hand(two_layers: Architecture) -> None:
    terms = Physics(two_layers).terms(np.array([[20]])).values[:, 0, 1]
    dense = 40 * 10 * 4
    expected = {
        "macs": 20 * 10 * 4 / dense,
        "macs@8": 24 * 16 * 4 / dense,
        "macs@16": 32 * 16 * 4 / dense,
        "macs@32": 32 * 32 * 4 / dense,
        "unaligned@4": 0.0,
        "unaligned@8": 20 * 10 * 4 / dense,
        "unaligned@16": 20 * 10 * 4 / dense,
        "read": 0.5,
        "written": 1.0,
        "weights": 0.5,
    }
    assert dict(zip(TERMS, terms, strict=True)) == pytest.approx(expected)


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_macs_add_up_to_the_flops(architecture: Callable[[str], Architecture], model: str) -> None:
    wanted = architecture(model)
    physics = Physics(wanted)
    counts = np.random.default_rng(0).integers(1, wanted.widths + 1, (20, len(wanted.groups)))
    macs = physics.terms(counts).values[MACS] * physics.scale[MACS]
    np.testing.assert_allclose(macs.sum(axis=1), flops(wanted, counts), rtol=1e-12)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_rounded_macs_never_fall_below_macs_and_aligned_ones_equal_them(
    architecture: Callable[[str], Architecture], data: st.DataObject
) -> None:
    wanted = architecture("mobilenetv1_100")
    block = data.draw(st.sampled_from(BLOCKS))
    seed = data.draw(st.integers(0, 2**32 - 1))
    counts = np.random.default_rng(seed).integers(1, wanted.widths + 1, (3, 14))
    physics = Physics(wanted)
    term = TERMS.index(f"macs@{block}")
    values = physics.terms(counts).values
    assert (values[term] >= values[MACS] - 1e-12).all()
    aligned = physics.terms(np.minimum(-(-counts // block) * block, wanted.widths)).values
    inner = physics.classes != physics.class_names.index("stem")
    inner[-1] = False
    np.testing.assert_allclose(aligned[term][:, inner], aligned[MACS][:, inner])


def test_alignment_terms_vanish_at_full_width(
    architecture: Callable[[str], Architecture],
) -> None:
    wanted = architecture("resnet50")
    physics = Physics(wanted)
    values = physics.terms(wanted.widths[None, :]).values
    inner = physics.classes != physics.class_names.index("stem")
    for alignment in ALIGNMENTS:
        assert (values[TERMS.index(f"unaligned@{alignment}"), 0, inner] == 0.0).all()


def test_classes_of_layers() -> None:
    group = Channels(0, ((0, 1),))
    size = ((4, 4), (4, 4))
    assert layer_class(Layer("a", "conv", Channels(3), group, *size)) == "stem"
    assert layer_class(Layer("a", "conv", group, group, *size)) == "pointwise"
    assert layer_class(Layer("a", "conv", group, group, *size, (3, 3))) == "spatial"
    assert layer_class(Layer("a", "conv", group, group, *size, (3, 3), groups=4)) == "grouped"
    assert (
        layer_class(Layer("a", "conv", group, group, *size, (3, 3), depthwise=True)) == "depthwise"
    )
    assert layer_class(Layer("a", "linear", group, Channels(10), *size)) == "pointwise"


def test_layer_costs_add_up_to_priced_totals(
    architecture: Callable[[str], Architecture],
) -> None:
    wanted = architecture("mobilenetv1_100")
    rng = np.random.default_rng(0)
    terms = Physics(wanted).terms(rng.integers(1, wanted.widths + 1, (9, 14)))
    totals = terms.totals()
    prices = rng.random(size=totals.shape[1:])
    np.testing.assert_allclose(terms.layer_costs(prices).sum(axis=1), totals @ prices)
