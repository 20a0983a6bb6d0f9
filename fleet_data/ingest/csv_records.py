"""CSV bytes into whole records with exact line numbers, whatever quotes and breaks they hold.

Nearly all blocks have no quote and no bare carriage return: they are cut at their last line break
and not looked at again. Any other block is gone through line by line, so that a quote that is never
closed costs its own line and not the rest of the file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from hdap.fleet_data.records import Ints

LONGEST_RECORD_LINES = 100
_STILL_OPEN = re.compile(rb'(?:[^"]++|"")*+')
_BLANK = (b"", b"\r")


@dataclass(frozen=True)
class _Patterns:
    """A whole record, and one whose last quote is open."""

    record: re.Pattern[bytes]
    open: re.Pattern[bytes]


@cache
def _patterns(delimiter: bytes) -> _Patterns:
    apart = re.escape(delimiter)
    field_ = rb'(?:"(?:[^"]++|"")*+"|[^"' + apart + rb"\r\n\0]*+)"
    record = field_ + rb"(?:" + apart + field_ + rb")*+\r?"
    unclosed = rb"(?:" + field_ + apart + rb')*+"(?:[^"]++|"")*+'
    return _Patterns(re.compile(record), re.compile(unclosed))


@dataclass(frozen=True)
class BadLine:
    """A line that is no CSV record."""

    line: int
    reason: str
    text: bytes


@dataclass(frozen=True)
class Records:
    """`data` holds whole records only; `lines()` the first line of each, blank lines left out.

    `used` bytes of the input were taken; the rest belongs to the next block. `next_line` is the
    line that it starts at.
    """

    data: bytes
    lines: Callable[[], Ints]
    used: int
    next_line: int
    bad: list[BadLine] = field(default_factory=list)


def take_records(data: bytes, first_line: int, *, last: bool, delimiter: bytes = b",") -> Records:
    """The whole records at the start of `data`, whose first line has number `first_line`."""
    used = len(data) if last else data.rfind(b"\n") + 1
    block = data[:used] if used < len(data) else data
    breaks = block.count(b"\n")
    if _is_regular(block):
        return Records(block, lambda: _regular_lines(block, first_line), used, first_line + breaks)
    return _take_irregular(block, first_line, _patterns(delimiter), last=last)


def _is_regular(block: bytes) -> bool:
    return (
        b'"' not in block
        and b"\0" not in block
        and (b"\r" not in block or block.count(b"\r") == block.count(b"\r\n"))
    )


def _regular_lines(block: bytes, first_line: int) -> Ints:
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends + 1])
    lengths = np.append(ends, len(block)) - starts
    returns = np.frombuffer(block + b"\n", dtype=np.uint8)[starts] == ord("\r")
    blank = (lengths == 0) | ((lengths == 1) & returns)
    return np.flatnonzero(~blank) + first_line


def _take_irregular(block: bytes, first_line: int, patterns: _Patterns, *, last: bool) -> Records:
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    kept: list[bytes] = []
    numbers: list[int] = []
    bad: list[BadLine] = []
    position = 0
    while position < len(lines):
        length, reason = _record_at(lines, position, patterns, last=last)
        if length == 0:
            break  # goes on in the next block
        if reason:
            bad.append(BadLine(first_line + position, reason, lines[position]))
        elif lines[position] not in _BLANK:
            kept.extend(lines[position : position + length])
            numbers.append(first_line + position)
        position += length
    used = len(block) - sum(len(line) + 1 for line in lines[position:])
    used = len(block) if position == len(lines) else used + (not block.endswith(b"\n"))
    found = np.array(numbers, dtype=np.int64)
    data = b"\n".join(kept) + b"\n" if kept else b""
    return Records(data, lambda: found, used, first_line + position, bad)


def _record_at(
    lines: list[bytes], start: int, patterns: _Patterns, *, last: bool
) -> tuple[int, str]:
    """How many lines the record takes, and why its first line is none; 0 lines: not all here."""
    text = lines[start]
    if patterns.record.fullmatch(text):
        return 1, ""
    if not patterns.open.fullmatch(text):
        return 1, _why(text)
    for length in range(2, LONGEST_RECORD_LINES + 1):
        if start + length > len(lines):
            return (1, "a quote is never closed") if last else (0, "")
        following = lines[start + length - 1]
        text += b"\n" + following
        if _STILL_OPEN.fullmatch(following):
            continue
        if patterns.record.fullmatch(text):
            return length, ""
        if not patterns.open.fullmatch(text):
            break
    return 1, "a quote is never closed"


def _why(text: bytes) -> str:
    if b"\0" in text:
        return "the line holds a NUL byte"
    if b'"' in text:
        return "a quote stands in the middle of a field"
    return "a carriage return stands inside the line"
