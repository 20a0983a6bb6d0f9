"""Policies by what requests are like: their latency, and how busy they keep the cores."""

from __future__ import annotations

from dataclasses import dataclass

from hdap.device.policies.base import Decision, Policy, State, amount, most_accurate


@dataclass(frozen=True)
class LatencyTarget(Policy):
    """95 % of requests within `ms`, waiting included.

    What another variant would take is foretold from what the current one takes now, by their costs.
    """

    ms: float
    form = "TIME, as 30ms"

    @classmethod
    def read(cls, text: str) -> LatencyTarget:
        return cls(amount(text, {"ms": 1.0, "s": 1e3, "": 1.0}))

    def decide(self, state: State) -> Decision:
        own = state.costs_ms[state.current]
        seen = own if state.p95_ms is None else state.p95_ms
        foretold = [seen * cost / own for cost in state.costs_ms]

        def words(i: int) -> str:
            return f"{state.names[i]} at {foretold[i]:.3g} ms p95 of {self.ms:g} ms"

        return most_accurate(state, [x / self.ms for x in foretold], words)


@dataclass(frozen=True)
class Load(Policy):
    """At most this share of the cores busy with requests, and at most `queue` waiting."""

    share: float = 0.7
    queue: int = 8
    form = "SHARE of the cores, as 0.7, or SHARE/QUEUE, as 0.7/8"

    @classmethod
    def read(cls, text: str) -> Load:
        share, _, queue = text.partition("/")
        waiting = int(queue or "8")
        if waiting < 1:
            raise ValueError(f"a queue is of one request or more, not {queue}")
        return cls(amount(share, {"": 1.0, "%": 0.01}), waiting)

    def decide(self, state: State) -> Decision:
        own = state.costs_ms[state.current]
        busy = [state.rate * cost / 1e3 / state.cores for cost in state.costs_ms]
        # as long as requests wait, only a faster variant helps
        waiting = [state.queue / self.queue * cost / own for cost in state.costs_ms]
        if state.queue <= self.queue:
            waiting = [0.0] * len(busy)

        def words(i: int) -> str:
            return (
                f"{state.names[i]} at {state.rate:.3g} requests/s takes {100 * busy[i]:.0f} % of "
                f"{state.cores} cores, {state.queue} waiting"
            )

        excess = [max(b / self.share, w) for b, w in zip(busy, waiting)]
        return most_accurate(state, excess, words)
