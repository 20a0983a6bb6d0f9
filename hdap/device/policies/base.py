"""What a policy is, and what most of them share; `docs/add-a-policy.md` adds one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hdap.device.messages import choose

MARGIN = 0.1
"""Room that a variant more accurate than the current one must leave."""


@dataclass(frozen=True)
class State:
    """What a policy decides by. Tuples have one entry a variant, fastest first.

    `costs_ms` are core milliseconds of an inference and `memory_mb` what the process would hold,
    both measured where the variant has run, else foretold from those that have. `rate` are arrivals
    a second, `queue` requests that wait for a free worker; `p95_ms` (with waiting) is of requests
    that began since the last switch, None where they are few. `hour` is local, 0-24. None: the
    device does not tell.
    """

    names: tuple[str, ...]
    current: int
    costs_ms: tuple[float, ...]
    memory_mb: tuple[float, ...] = ()
    rate: float = 0.0
    queue: int = 0
    p95_ms: float | None = None
    cores: int = 1
    available_mb: float | None = None
    battery_pct: float | None = None
    temperature_c: float | None = None
    hour: float = 0.0


@dataclass(frozen=True)
class Decision:
    """The most accurate variant that is allowed, and why; not `met`: none is, it is nearest."""

    variant: int
    reason: str
    met: bool = True


class Policy(ABC):
    """From a state to the most accurate variant that is allowed, with the reason.

    Stateless: the same state gives the same decision, from any thread. A variant that is more
    accurate than the current one is allowed only with `MARGIN` to spare, so that noise at a limit
    makes no switch. What the device does not tell limits nothing. A limit that no variant keeps is
    answered by the nearest to it, with `met=False`.
    """

    form: str
    """How it is written after its name, for messages."""

    @classmethod
    @abstractmethod
    def read(cls, text: str) -> Policy:
        """From what follows the colon; raises ValueError where that is something else."""

    @abstractmethod
    def decide(self, state: State) -> Decision:
        """The most accurate variant that is allowed in this state."""


def most_accurate(state: State, excess: Sequence[float], words: Callable[[int], str]) -> Decision:
    """The last variant whose `excess`, over its limit, is at most 1; `words` says what it takes."""
    allowed = [i for i, x in enumerate(excess) if x * (1.0 + MARGIN * (i > state.current)) <= 1.0]
    if not allowed:
        near = min(range(len(excess)), key=lambda i: excess[i])
        return Decision(near, f"no variant is within, the nearest is {words(near)}", met=False)
    best = max(allowed)
    if best == len(excess) - 1:
        return Decision(best, words(best))
    how = "beyond" if excess[best + 1] > 1.0 else "too near"
    return Decision(best, f"{words(best + 1)} ({how} the limit)")


def place_of(state: State, name: str) -> int:
    """The place of a variant; raises `DeviceError` where it has none."""
    return choose("a variant", {x: i for i, x in enumerate(state.names)}, name)


def untold(state: State, what: str) -> Decision:
    """What is not known limits nothing."""
    return Decision(len(state.names) - 1, f"the device does not tell its {what}")


def amount(text: str, units: Mapping[str, float]) -> float:
    """A number above 0 with one of the units; raises ValueError."""
    number = text.strip()
    unit = number.lstrip("0123456789.").strip()
    value = float(number[: len(number) - len(unit)] if unit else number) * units.get(unit, math.nan)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(text)
    return value
