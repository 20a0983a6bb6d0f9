import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Channels, Counts, Layer, WidthGroup
from hdap.fleet_data.costs import (
    check_counts,
    flops,
    flops_form,
    format_flops,
    layer_channels,
    layer_macs,
    memory_boundness,
    parameters,
    parameters_form,
)
from hdap.fleet_data.errors import InputError

MODELS = ["resnet50", "mobilenetv1_100"]
Architectures = Callable[[str], Architecture]


def draw(architecture: Architecture, seed: int, n: int = 20) -> Counts:
    places = architecture.widths // architecture.multiples
    rng = np.random.default_rng(seed)
    result: Counts = rng.integers(1, places + 1, (n, len(places))) * architecture.multiples
    return result


@pytest.fixture
def grouped() -> Architecture:
    """Grouped and depthwise convolutions, a concatenation, a bias, a norm and constants."""
    a, b = Channels(0, ((0, 1),)), Channels(0, ((1, 1),))
    size = (5, 7)
    layers = (
        Layer("a", "conv", Channels(3), a, size, size, (3, 3), parameters_per_output=1),
        Layer("n", "norm", a, a, size, size, parameters_per_output=2),
        Layer("b", "conv", a, b, size, size, (3, 1), groups=3),
        Layer("d", "conv", b, b, size, size, (5, 5), depthwise=True),
        Layer("c", "conv", Channels(2, ((0, 1), (1, 2))), Channels(7), size, size, groups=1),
        Layer("l", "linear", Channels(0, ((1, 35),)), Channels(10), (1, 1), (1, 1)),
    )
    groups = (WidthGroup("a", 12, ("a",), 3), WidthGroup("b", 9, ("b", "d"), 3))
    return Architecture("toy", (3, 5, 7), groups, layers, other_parameters=11)


@pytest.mark.parametrize(
    ("model", "dense_flops", "dense_parameters"),
    [("resnet50", 4_089_184_256, 25_557_032), ("mobilenetv1_100", 568_740_352, 4_231_976)],
)
def test_dense_costs(
    model: str, dense_flops: int, dense_parameters: int, architecture: Architectures
) -> None:
    found = architecture(model)
    assert flops(found, found.widths[None]).tolist() == [dense_flops]
    assert parameters(found, found.widths[None]).tolist() == [dense_parameters]


def test_costs_by_hand(grouped: Architecture) -> None:
    a, b = 6, 3
    macs = [27 * a, 0, 3 * a // 3 * b, 25 * b, (2 + a + 2 * b) * 7, 0]
    by_hand = [35 * x for x in macs]
    by_hand[-1] = 35 * b * 10
    counts = np.array([[a, b]])
    assert layer_macs(grouped, counts).tolist() == [by_hand]
    assert flops(grouped, counts).tolist() == [sum(by_hand)]
    weights = 27 * a + a + 2 * a + 3 * a // 3 * b + 25 * b + (2 + a + 2 * b) * 7 + 35 * b * 10
    assert parameters(grouped, counts).tolist() == [weights + 11]


def test_layer_channels_are_those_of_the_description(grouped: Architecture) -> None:
    counts = draw(grouped, 0)
    inputs, outputs = layer_channels(grouped, counts)
    for column, layer in enumerate(grouped.layers):
        assert np.array_equal(inputs[:, column], layer.inputs.of(counts))
        assert np.array_equal(outputs[:, column], layer.outputs.of(counts))


@pytest.mark.parametrize("model", MODELS)
def test_the_form_is_the_sum_over_layers(model: str, architecture: Architectures) -> None:
    found = architecture(model)

    @settings(max_examples=20, deadline=None, database=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        counts = draw(found, seed)
        assert np.array_equal(flops_form(found)(counts), layer_macs(found, counts).sum(axis=1))

    check()


def test_grouped_costs_are_whole_numbers_in_closed_form(grouped: Architecture) -> None:
    counts = draw(grouped, 1)
    assert np.array_equal(flops_form(grouped)(counts), layer_macs(grouped, counts).sum(axis=1))
    assert flops_form(grouped).divisor == 3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", [flops_form, parameters_form])
def test_the_parabola_in_one_group_is_the_exact_cost(
    model: str,
    form: Callable[[Architecture], Callable[[Counts], Counts]],
    architecture: Architectures,
) -> None:
    found = architecture(model)
    cost = flops_form(found) if form is flops_form else parameters_form(found)
    counts = draw(found, 2)
    for group, width in enumerate(found.widths):
        a, b, c = cost.along(counts, group)
        moved = counts.copy()
        moved[:, group] = np.random.default_rng(group).integers(1, width + 1, len(counts))
        x = moved[:, group]
        assert np.array_equal(np.rint(a * x**2 + b * x + c).astype(np.int64), cost(moved))


def test_costs_beyond_exact_floats_are_still_exact() -> None:
    layer = Layer("c", "conv", Channels(3), Channels(0, ((0, 1),)), (1, 1), (2**30, 2**20), (3, 1))
    huge = Architecture("huge", (3, 1, 1), (WidthGroup("c", 7, ("c",)),), (layer,))
    assert flops(huge, np.array([[7], [1]])).tolist() == [63 * 2**50, 9 * 2**50]


def test_costs_that_no_integer_holds_are_refused() -> None:
    layer = Layer("c", "conv", Channels(3), Channels(0, ((0, 1),)), (1, 1), (2**40, 2**30))
    huge = Architecture("huge", (3, 1, 1), (WidthGroup("c", 7, ("c",)),), (layer,))
    with pytest.raises(InputError, match="63 bits"):
        flops_form(huge)


def test_an_architecture_without_groups_costs_a_constant(grouped: Architecture) -> None:
    fixed = Layer("a", "conv", Channels(3), Channels(4), (2, 2), (2, 2))
    found = replace(grouped, groups=(), layers=(fixed,))
    assert flops(found, np.empty((2, 0), dtype=np.int64)).tolist() == [48, 48]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.array([6, 3]), r"matrix\.shape=\(2,\)"),
        (np.array([[6, 3, 1]]), "each of the 2 width groups"),
        (np.array([[6.0, 3.0]]), "must be integers"),
        (np.array([[6, 3], [0, 3]]), r"`a` must lie in 1..12 .*but got 0 in row 1"),
        (np.array([[15, 3]]), "but got 15 in row 0"),
        (np.array([[6, 4]]), r"`b` must lie in 1..9 and be a multiple of 3, but got 4"),
    ],
)
def test_counts_that_do_not_fit_are_refused(
    counts: Counts, message: str, grouped: Architecture
) -> None:
    for refuse in (check_counts, flops, parameters):
        with pytest.raises(InputError, match=message):
            refuse(grouped, counts)


def test_small_integers_are_widened(grouped: Architecture) -> None:
    assert check_counts(grouped, np.array([[6, 3]], dtype=np.uint8)).dtype == np.int64


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (4_089_184_256, "4.09 G"),
        (568_740_352, "569 M"),
        (57_520_000, "57.5 M"),
        (999_600_000, "1.00 G"),
        (9_996_000, "10.0 M"),
        (12_345, "12.3 k"),
        (12, "12"),
        (0, "0"),
    ],
)
def test_flops_for_people(number: int, text: str) -> None:
    assert format_flops(number) == text


def test_memory_boundness_is_numbers_moved_per_flop(
    architecture: Callable[[str], Architecture],
) -> None:
    described = architecture("resnet50")
    counts = np.stack([described.widths, np.maximum(described.widths // 4, 1)])
    inputs, outputs = layer_channels(described, counts)
    moved = [
        sum(
            int(i) * math.prod(x.input_size) + int(o) * math.prod(x.output_size)
            for x, i, o in zip(described.layers, row_in, row_out, strict=True)
        )
        for row_in, row_out in zip(inputs, outputs, strict=True)
    ]
    expected = np.log((np.array(moved) + parameters(described, counts)) / flops(described, counts))
    found = memory_boundness(described, counts)
    assert found == pytest.approx(expected)
    assert found[1] > found[0]  # a narrower network does less with what it moves
