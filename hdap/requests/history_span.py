"""How much history a person wants to keep."""

import re
from datetime import timedelta

DEFAULT_KEEP = timedelta(days=90)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_MOST_DAYS = 100 * 365


def parse_span(text: str) -> timedelta:
    """`90d`, `12w` or `36h`. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d{1,6}) ?([hdw])", text.strip())
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < span <= timedelta(days=_MOST_DAYS):
        raise ValueError(f"a history must be such as 90d, 12w or 36h, but got {text!r}")
    return span
