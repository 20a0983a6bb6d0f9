"""Milliseconds as a person writes them."""

import math
import re

from hdap.fleet_data.errors import InputError

_FORM = re.compile(r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*(us|ms|s|)", re.I | re.A)
_FACTOR = {"us": 1e-3, "ms": 1.0, "": 1.0, "s": 1e3}


def parse_ms(text: str, what: str, example: str) -> float:
    """Milliseconds meant by `text`: `30ms`, `30 ms`, `30`, `0.03s` or `900us`.

    `what` and `example` word the error.

    Raises:
        InputError: `text` is not such a number, or not a positive and finite one.
    """
    found = _FORM.fullmatch(text.strip())
    value = float(found[1]) * _FACTOR[found[2].lower()] if found else math.nan
    if not math.isfinite(value) or value <= 0.0:
        raise InputError(
            f"{what} must be a positive time with a unit, but got {text!r}: write {example}, in "
            f"us, ms or s"
        )
    return value
