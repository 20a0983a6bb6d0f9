"""What a program on a device says: problems in one line, and decisions with their time."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


class DeviceError(Exception):
    """What must hold, what came, what to do; printed in one line, exit 1."""


class TurnedAway(DeviceError):
    """A request that is right but is not answered here and now; another time or place may."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def choose(what: str, known: Mapping[str, T], name: str) -> T:
    """What is known as `name`; raises `DeviceError`, which names what there is and the nearest."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f": did you mean `{near[0]}`?" if near else ": choose one of these"
    raise DeviceError(f"{what} must be one of {', '.join(known)}, but got {name!r}{hint}")


class DecisionLog:
    """Lines with the seconds since `now` began; one that only changes its figures is told once."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float]) -> None:
        self._write, self._now, self._began = write, now, now()
        self._told = ""

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return self._now() - self._began

    def tell(self, text: str) -> None:
        """Write a line; a switch (`to ...`) is always told."""
        plain = "".join(c for c in text if not c.isdigit())
        if plain != self._told or text.startswith("to "):
            # a log that fails must not end what it tells of
            with contextlib.suppress(Exception):
                self._write(f"{self.age:.2f} s: {text}")
        self._told = plain
