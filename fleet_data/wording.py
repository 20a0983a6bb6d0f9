"""How figures are written for people: one precision and one unit for each kind of figure.

Terminal, report, pictures and messages take them from here, so that a figure of one command is
found again in another. What is not known, NaN or infinite, is a dash everywhere.
"""

import math
from datetime import UTC, datetime

UNKNOWN = "-"


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, thousands grouped: `4.09`, `0.0123`, `1,234`."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - _magnitude(value, digits))}f}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as a percentage: `3.5 %`."""
    return f"{100 * fraction:,.{digits}f} %" if math.isfinite(fraction) else UNKNOWN


def milliseconds(ms: float) -> str:
    """Hundredths, but never fewer than three significant digits nor more than four; no unit."""
    if not math.isfinite(ms):
        return UNKNOWN
    if ms == 0:
        return "0"
    return number(ms, 3 if abs(ms) < 9.995 else 4)


def latency(ms: float) -> str:
    """A latency: `0.742 ms`, `18.71 ms`, `2,192 ms`."""
    return f"{milliseconds(ms)} ms" if math.isfinite(ms) else UNKNOWN


def interval(low: float, high: float) -> str:
    """Ends of an interval of latencies, in ms: `17.94-19.50`."""
    if not math.isfinite(low) or not math.isfinite(high):
        return UNKNOWN
    return f"{milliseconds(low)}-{milliseconds(high)}"


def times(ratio: float) -> str:
    """How many times as much, as fast or as slow: `1.85x`."""
    return f"{ratio:,.2f}x" if math.isfinite(ratio) else UNKNOWN


def kept(importance: float) -> str:
    """Kept importance as a person gives a floor for it, 0..1: `0.448`."""
    return f"{importance:.3f}" if math.isfinite(importance) else UNKNOWN


def amount(count: float) -> str:
    """FLOPs or parameters, three significant digits: `4.09 G`, `575 M`."""
    if not math.isfinite(count):
        return UNKNOWN
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        value = count / size
        # 999.5 of the smaller unit reads better as 1.00 of this one.
        if value >= 0.9995:
            return f"{number(value)} {unit}"
    return f"{count:.0f}"


def megabytes(count: float) -> str:
    """A size in bytes: `25.6 MB`, `0.241 MB`."""
    return f"{number(count / 1e6)} MB" if math.isfinite(count) else UNKNOWN


def seconds(value: float) -> str:
    """How long something took: `0.05 s`, `12.6 s`, `518 s`."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} s"


def date(when: float) -> str:
    """The day of a time in seconds since 1970, UTC: `2026-11-28`."""
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d}" if math.isfinite(when) else UNKNOWN


def counted(count: int, thing: str, things: str = "") -> str:
    """A count with its noun: `1 cluster`, `1,440 rows`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def _magnitude(value: float, digits: int) -> int:
    """The power of ten of a figure once it is rounded: 9.996 with three digits is 10.0."""
    return math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))


def is_utf8(text: str) -> bool:
    """Whether a word or a name that the system gave can be written; bytes of another encoding come
    as halves of surrogate pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
