"""Documents that were valid and are no longer: what a seed makes of bytes and of JSON."""

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.0, -0.0, 1e-320,
    1e308, 1e999, -1e999, float("nan"), "", "0", "nan", "inf", "-1", "1e999", "a" * 300, "\0",
    "\ud800", "\n", "../../etc/passwd", "/etc/passwd", "C:\\x", "é" * 200, [], {}, [[]], [{}],
    {"": 0}, [0] * 50, {"a": {"a": {"a": {}}}}, "1;2=3", "conv1=-1", "x=" * 100, "2026-13-45",
)  # fmt: skip
_TOKENS = (
    b"\0", b"\xff", b"\xed\xa0\x80", b"\r", b"\n", b'"', b"'", b",", b";", b"=", b"{", b"}", b"[",
    b"]", b"nan", b"NaN", b"Infinity", b"-inf", b"1e999", b"9" * 500, b"\xef\xbb\xbf", b"\t", b"\\",
    b"PAR1", b"\x1f\x8b", b"#", b"[" * 3000, b'{"a":' * 3000,
)  # fmt: skip


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Cut, doubled, shuffled or sprinkled with what readers trip over."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        at, to = sorted((rng.randint(0, len(made)), rng.randint(0, len(made))))
        to = min(to, at + rng.choice((1, 4, 64, 4096)))
        how = rng.randrange(7)
        if how == 0:
            del made[at:to]
        elif how == 1:
            made[at:at] = made[at:to]
        elif how == 2:
            made[at:at] = rng.choice(_TOKENS)
        elif how == 3:
            made[at:to] = rng.choice(_TOKENS)
        elif how == 4 and made:
            made[min(at, len(made) - 1)] = rng.randrange(256)
        elif how == 5:
            del made[at:]
        else:
            made[at:to] = rng.randbytes(to - at)
    return bytes(made)


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """A value, a key or an item changed, and where it was sealed sealed again: schemas are tried.

    One in four is damaged as bytes instead.
    """
    if rng.random() < 0.25:
        return damaged_bytes(content, rng)
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = _changed(document, rng)
    if rng.random() < 0.02:
        for _ in range(rng.choice((50, 900, 20_000))):
            document = [document]
        depth = 0
        while isinstance(document, list) and document:
            document, depth = document[0], depth + 1
        inner = json.dumps(document)
        return ("[" * depth + inner + "]" * depth).encode()
    if isinstance(document, dict) and "digest" in document and rng.random() < 0.9:
        rest = {name: value for name, value in document.items() if name != "digest"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        document["digest"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(document).encode()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Garbage of a document of any kind, by what it looks like."""
    return damaged_json(content, rng) if content[:1] in b"{[" else damaged_bytes(content, rng)


def odd_value(rng: random.Random) -> Any:
    """A value of JSON that few expect."""
    return rng.choice(_VALUES)


def _changed(value: Any, rng: random.Random) -> Any:
    """One place in it is another; most often deep inside."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.8:
            return {**value, key: _changed(value[key], rng)}
        if how < 0.9:
            return {k: v for k, v in value.items() if k != key}
        return {**value, rng.choice(("", "x", "\ud800", "format", "a" * 300)): odd_value(rng)}
    if isinstance(value, list) and value and rng.random() < 0.95:
        at = rng.randrange(len(value))
        changes: tuple[Callable[[], list[Any]], ...] = (
            lambda: [*value[:at], _changed(value[at], rng), *value[at + 1 :]],
            lambda: [*value[:at], *value[at + 1 :]],
            lambda: [*value, value[at]],
            lambda: [*value[:at], odd_value(rng), *value[at + 1 :]],
        )
        return rng.choices(changes, (7, 1, 1, 1))[0]()
    return odd_value(rng)
