"""Budgets as a person writes them, of FLOPs and milliseconds, and the band that a search keeps."""

import math
import re
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.fleet_data.records import Bools, Floats

_NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*"
_FORM = re.compile(_NUMBER + "([kmgt%]?)", re.I | re.A)
_FACTOR = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_DURATION = re.compile(_NUMBER + "(us|ms|s|)", re.I | re.A)
_IN_MS = {"us": 1e-3, "ms": 1.0, "": 1.0, "s": 1e3}
_FORMS = "write it as `1.0G`, `300M`, `1e9` or `25%` of the dense model"


@dataclass(frozen=True, slots=True)
class FlopsBand:
    """FLOPs from `low` to `high`, both included; `high` is the budget that was asked for.

    A budget is a ceiling: `low` is 1 unless networks that spend less were ruled out.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise InputError(
                f"`0 < low <= high` must hold for a FLOPs band, but got "
                f"(low={self.low}, high={self.high}): {_FORMS}"
            )

    def contains(self, flops: Floats) -> Bools:
        """Which of n FLOPs lie in the band."""
        return np.asarray((flops >= self.low) & (flops <= self.high))


def parse_flops(text: str, dense: int) -> int:
    """FLOPs meant by `text`: `1.0G`, `4.09 G`, `300M`, `1e9`, or `25%` of `dense` FLOPs.

    Raises:
        InputError: `text` is not such a number, or not a positive one.
        InfeasibleError: it is above the dense model, so there is nothing to prune.
    """
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise InputError(f"a FLOPs budget must be a number with a unit, but got {text!r}: {_FORMS}")
    number, unit = float(found[1]), found[2].lower()
    value = number / 100 * dense if unit == "%" else number * _FACTOR[unit]
    if not math.isfinite(value) or round(value) < 1:
        raise InputError(f"a FLOPs budget must be positive and finite, but got {text!r}: {_FORMS}")
    if round(value) > dense:
        raise InfeasibleError(
            f"the budget must be at most the dense model's {format_flops(dense)} FLOPs, but got "
            f"{text!r}: give a lower one, such as 25%"
        )
    return round(value)


def parse_flops_range(text: str, dense: int) -> tuple[int, int]:
    """The FLOPs meant by `LOW-HIGH`: `0.5G-2.4G` or `10%-60%` of `dense` FLOPs.

    Raises:
        InputError: `text` is no such range, or LOW is not below HIGH.
        InfeasibleError: HIGH is above the dense model.
    """
    parts = text.split("-")
    numbers = [parse_flops(part, dense) for part in parts] if len(parts) == 2 else []
    if not numbers or numbers[0] >= numbers[1]:
        raise InputError(
            f"`--flops-range` must be LOW-HIGH with LOW below HIGH, but got {text!r}; "
            "write it as 0.5G-2.4G or 10%-60%"
        )
    return numbers[0], numbers[1]


def band(budget: int, tolerance: float | None = None) -> FlopsBand:
    """FLOPs of at most `budget`, and with a `tolerance` (a fraction) at most so far below it.

    Raises:
        InputError: `0 <= tolerance < 1` does not hold.
    """
    if tolerance is None:
        return FlopsBand(1, budget)
    if not 0.0 <= tolerance < 1.0:
        raise InputError(
            f"`0 <= tolerance < 1` must hold for the FLOPs band, but got {tolerance=}: "
            f"0.03 means 97-100 % of the budget"
        )
    return FlopsBand(max(1, math.ceil((1.0 - tolerance) * budget)), budget)


def parse_ms(text: str, what: str, example: str) -> float:
    """Milliseconds meant by `text`: `30ms`, `30 ms`, `30`, `0.03s` or `900us`.

    `what` and `example` word the error.

    Raises:
        InputError: `text` is not such a number, or not a positive and finite one.
    """
    found = _DURATION.fullmatch(text.strip())
    value = float(found[1]) * _IN_MS[found[2].lower()] if found else math.nan
    if not math.isfinite(value) or value <= 0.0:
        raise InputError(
            f"{what} must be a positive time with a unit, but got {text!r}: write {example}, in "
            f"us, ms or s"
        )
    return value
