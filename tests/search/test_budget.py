import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.search.problem.budget import FlopsBand, band, parse_flops

DENSE = 4_089_184_256


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("1.0G", 10**9),
        ("1g", 10**9),
        ("300M", 300_000_000),
        ("1e9", 10**9),
        ("1.5e3M", 1_500_000_000),
        (".5G", 500_000_000),
        (" 4.08 G ", 4_080_000_000),
        ("900k", 900_000),
        ("25%", round(DENSE / 4)),
        ("100%", DENSE),
        ("12345678", 12_345_678),
    ],
)
def test_every_way_to_write_a_budget(text: str, flops: int) -> None:
    assert parse_flops(text, DENSE) == flops


@pytest.mark.parametrize(
    "text",
    ["", "G", "1,0G", "-1G", "0", "0%", "1.0GB", "nan", "inf", "1e999", "1 0G", "1..0G", "٣G"],
)
def test_anything_else_is_refused_with_the_forms_that_work(text: str) -> None:
    with pytest.raises(InputError, match=r"`1\.0G`, `300M`, `1e9` or `25%`") as raised:
        parse_flops(text, DENSE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["5G", "101%", "1e10"])
def test_a_budget_above_the_dense_model_says_so(text: str) -> None:
    with pytest.raises(InfeasibleError, match=r"4\.09 G"):
        parse_flops(text, DENSE)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, DENSE), st.sampled_from(["", "k", "M", "G"]))
def test_what_is_written_is_what_is_read(flops: int, unit: str) -> None:
    factor = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[unit]
    assert parse_flops(f"{flops / factor:.12f}{unit}", DENSE) == pytest.approx(flops, abs=1)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, DENSE), st.floats(0.0, 0.99))
def test_a_band_ends_at_the_budget_and_is_as_wide_as_told(budget: int, tolerance: float) -> None:
    found = band(budget, tolerance)
    assert found.high == budget
    assert 0 <= found.low - (1 - tolerance) * budget < 1 + 1e-6


@pytest.mark.parametrize("tolerance", [-0.01, 1.0, float("nan")])
def test_a_tolerance_out_of_range_is_refused(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        band(10**9, tolerance)


def test_a_band_upside_down_is_refused() -> None:
    with pytest.raises(InputError, match="low <= high"):
        FlopsBand(2, 1)
