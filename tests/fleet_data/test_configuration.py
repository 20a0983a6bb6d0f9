import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.fleet_data.configuration import format_channels, parse_channels
from hdap.fleet_data.errors import InputError

SMALL = Architecture(
    model="small",
    input_shape=(3, 8, 8),
    groups=(
        WidthGroup("conv1", 64, ("conv1",)),
        WidthGroup("a.conv2", 32, ("a.conv2", "a.shortcut")),
        WidthGroup("grouped", 24, ("grouped",), multiple=8),
    ),
    layers=(),
)


def error_of(text: str) -> str | None:
    return parse_channels(SMALL, [text]).errors[0]


def test_groups_left_out_keep_their_width() -> None:
    parsed = parse_channels(SMALL, ["", "conv1=5", " a.conv2 = 7 ;\tgrouped=8; "])
    assert parsed.errors == (None, None, None)
    assert parsed.counts.tolist() == [[64, 32, 24], [5, 32, 24], [64, 7, 8]]


def test_a_members_name_stands_for_its_group() -> None:
    parsed = parse_channels(SMALL, ["a.shortcut=4", "a.conv2=4;a.shortcut=4"])
    assert parsed.errors == (None, None)
    assert parsed.counts[:, 1].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conv2=4", "no width group `conv2`; nearest: a.conv2, conv1"),
        ("zzz=4", "no width group `zzz`"),
        ("conv1=65", "at most 64, got 65"),
        ("conv1=0", "at least 1, got 0"),
        ("conv1=-3", "at least 1, got -3"),
        ("conv1=4.0", "must be an integer, got 4.0"),
        ("conv1=", "must be an integer"),
        ("conv1=99999999999999999999", "must be an integer"),
        ("conv1=٣", "must be an integer"),
        ("conv1", "`conv1` must be name=count"),
        ("grouped=12", "multiple of 8, got 12"),
        ("conv1=4;conv1=4", "conv1 is given twice"),
        ("a.conv2=4;a.shortcut=5", "other layers"),
        ("=4", "no width group ``"),
        ("conv1=5\na.conv2=8", "must be one line"),
        ("conv1=5\n", "must be one line"),
        ("conv1=5\x00", "must be one line"),
        ("conv1=5\u2028", "must be one line"),
        ("conv1=5\u00a0", "must be an integer"),
        ("conv1=+5", "must be an integer"),
        ("conv1=1_0", "must be an integer"),
        ("conv1=\uff15", "must be an integer"),
        ("conv1=5=6", "must be an integer, got 5=6"),
        ("conv1=5;;a.conv2=8", "must be name=count"),
        (";", "must be name=count"),
    ],
)
def test_a_broken_rule_is_named(text: str, said: str) -> None:
    error = error_of(text)
    assert error is not None
    assert said in error


def test_an_error_leaves_its_row_dense_and_the_others_alone() -> None:
    parsed = parse_channels(SMALL, ["conv1=5;nope=1", "conv1=5"])
    assert parsed.counts.tolist() == [[64, 32, 24], [5, 32, 24]]


def test_no_texts_are_no_configurations() -> None:
    assert parse_channels(SMALL, []).counts.shape == (0, 3)
    assert format_channels(SMALL, np.empty((0, 3), dtype=np.int64)) == []


def test_the_canonical_text_is_in_the_architectures_order() -> None:
    counts = parse_channels(SMALL, ["grouped=8;conv1=5;a.shortcut=32"]).counts
    assert format_channels(SMALL, counts) == ["conv1=5;grouped=8"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 5))
@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_parsing_a_formatted_configuration_gives_it_back(
    architecture: Callable[[str], Architecture], model: str, seed: int, rows: int
) -> None:
    described = architecture(model)
    rng = np.random.default_rng(seed)
    shape = (rows, len(described.groups))
    steps = rng.integers(1, described.widths // described.multiples + 1, size=shape)
    counts = np.where(rng.random(shape) < 0.3, described.widths, steps * described.multiples)
    parsed = parse_channels(described, format_channels(described, counts))
    assert parsed.errors == (None,) * rows
    np.testing.assert_array_equal(parsed.counts, counts)


ODD = st.sampled_from(
    [
        *("\n", "\r", "\t", " ", "\0", "\x85", "\u00a0", "\u2028", "\u200b", "\ufeff"),
        *("_", "+", "-", "=", ";", "0", "1_0", "\uff11", "\u0663", "e1", ".0", "#", '"'),
        *("conv1", "a.conv2=8", ";conv1=7"),
    ]
)


def plain_reading(text: str) -> dict[str, int] | None:
    """What a strict reader makes of a list, without the rules of an architecture."""
    parts = text.strip(" \t").removesuffix(";").split(";")
    if not text.strip(" \t"):
        return {}
    found: dict[str, int] = {}
    for part in parts:
        pair = re.fullmatch(r"[ \t]*([a-z0-9.]+)[ \t]*=[ \t]*([0-9]{1,18})[ \t]*", part, re.ASCII)
        if pair is None or pair[1] in found:
            return None
        found[pair[1]] = int(pair[2])
    return found


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(
        st.builds(
            lambda text, odd, at: text[: at % (len(text) + 1)] + odd + text[at % (len(text) + 1) :],
            st.sampled_from(["", "conv1=56", "conv1=5;a.conv2=8", " grouped = 16 ;conv1=9;"]),
            st.lists(ODD, max_size=3).map("".join),
            st.integers(0, 40),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_only_what_is_wholly_a_list_is_taken_and_taken_whole(texts: list[str]) -> None:
    parsed = parse_channels(SMALL, texts)
    for text, counts, error in zip(texts, parsed.counts, parsed.errors, strict=True):
        meant = plain_reading(text)
        if error is None:
            assert meant is not None
            taken = dict(zip(("conv1", "a.conv2", "grouped"), counts.tolist(), strict=True))
            assert taken == {"conv1": 64, "a.conv2": 32, "grouped": 24} | meant
        else:
            assert meant is None or not _legal(meant)


def _legal(meant: dict[str, int]) -> bool:
    widths = {"conv1": (64, 1), "a.conv2": (32, 1), "grouped": (24, 8)}
    return all(
        name in widths and 1 <= count <= widths[name][0] and count % widths[name][1] == 0
        for name, count in meant.items()
    )


NAMES = st.sampled_from(["conv1", "a.conv2", "a.shortcut", "grouped", "x", ""])
COUNTS = st.one_of(st.integers(-2, 70).map(str), st.text(max_size=4))
PAIRS = st.builds(lambda name, count: f"{name}={count}", NAMES, COUNTS)
TEXTS = st.one_of(st.text(), st.lists(PAIRS, max_size=4).map(";".join))


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_hostile_texts_never_raise_and_accepted_counts_are_legal(texts: list[str]) -> None:
    parsed = parse_channels(SMALL, texts)
    assert len(parsed.errors) == len(parsed.counts) == len(texts)
    assert np.all((parsed.counts >= 1) & (parsed.counts <= SMALL.widths))
    assert np.all(parsed.counts % SMALL.multiples == 0)
    # what is rejected alone is rejected in company
    for text, error in zip(texts, parsed.errors, strict=True):
        assert (error_of(text) is None) == (error is None)


def test_the_digest_of_a_model_stays_what_it_was() -> None:
    assert SMALL.digest == "adbc197734d1dea39df2a4f1b1ee944c8ed0b1d7c0cac9c52eae4f343708a71a"


@pytest.mark.parametrize("shape", [(16000,), (1, 16000), (3, 8, 8), (1, 4, 8, 8)])
def test_an_input_has_one_to_four_dimensions(shape: tuple[int, ...]) -> None:
    there = replace(SMALL, input_shape=shape)
    assert Architecture.from_json(there.to_json()) == there
    for wrong in ((), (*shape, 0), (1,) * 5):
        text = replace(SMALL, input_shape=wrong).to_json()
        with pytest.raises(InputError, match="input_shape"):
            Architecture.from_json(text)
