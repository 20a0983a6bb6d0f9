import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.cli.terminal.output import emit_json, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.0891, "4.09"), (1234.5, "1,234"), (0.01234, "0.0123"), (0.0, "0"), (math.nan, "-")],
)
def test_numbers_show_three_significant_figures(value: float, text: str) -> None:
    assert number(value) == text


def test_percentages_of_unknown_values_are_a_dash() -> None:
    assert percent(0.0345) == "3.5 %"
    assert percent(math.nan) == "-"


def test_json_holds_no_nan_and_knows_arrays_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json(
        {"a": np.array([1, 2]), "b": math.nan, "c": datetime(2026, 1, 2, tzinfo=UTC)}, marked=False
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"a": [1, 2], "b": None, "c": "2026-01-02T00:00:00+00:00"}
