"""Policies that name variants: one for ever, or one for hours of the day."""

from __future__ import annotations

from dataclasses import dataclass

from hdap.device.policies.base import Decision, Policy, State, place_of


@dataclass(frozen=True)
class Fixed(Policy):
    """One variant, whatever happens."""

    name: str
    form = "NAME of a variant"

    @classmethod
    def read(cls, text: str) -> Fixed:
        return cls(text)

    def decide(self, state: State) -> Decision:
        return Decision(place_of(state, self.name), "fixed")


@dataclass(frozen=True)
class ScheduledVariant(Policy):
    """At most the variant of the hours that it is; spans are (from, to, name), local time."""

    spans: tuple[tuple[float, float, str], ...]
    form = "FROM-TO=NAME,..., as 8-20=v1,20-8=v3"

    @classmethod
    def read(cls, text: str) -> ScheduledVariant:
        spans = []
        for part in text.split(","):
            hours, name = part.split("=")
            start, end = (_hour(x) for x in hours.split("-"))
            spans.append((start, end, name))
        return cls(tuple(spans))

    def decide(self, state: State) -> Decision:
        places = [place_of(state, name) for _, _, name in self.spans]
        for (start, end, _), place in zip(self.spans, places):
            inside = start <= state.hour < end
            if inside or (start >= end and (state.hour >= start or state.hour < end)):
                return Decision(place, f"schedule from {start:g} to {end:g} o'clock")
        return Decision(len(state.names) - 1, "schedule: nothing at this hour")


def _hour(text: str) -> float:
    hours, _, minutes = text.partition(":")
    value = int(hours) + int(minutes or "0") / 60
    if not 0 <= value <= 24:
        raise ValueError(text)
    return value
