"""All policies by name, and how they are written: `latency:30ms`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdap.device.messages import DeviceError, choose
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.policies.device_limits import Battery, Heat, MemoryLeft, MemoryLimit
from hdap.device.policies.named_variants import Fixed, ScheduledVariant
from hdap.device.policies.request_limits import LatencyTarget, Load

POLICIES: dict[str, type[Policy]] = {
    "fixed": Fixed,
    "latency": LatencyTarget,
    "load": Load,
    "memory": MemoryLimit,
    "available": MemoryLeft,
    "battery": Battery,
    "temperature": Heat,
    "schedule": ScheduledVariant,
}


@dataclass(frozen=True)
class AllOf(Policy):
    """What all of several allow."""

    parts: tuple[Policy, ...]
    form = "one or more"

    @classmethod
    def read(cls, text: str) -> AllOf:
        return read_policy(text.split(";"))

    def decide(self, state: State) -> Decision:
        wishes = [part.decide(state) for part in self.parts]
        least = min(wishes, key=lambda wish: (wish.variant, wish.met))
        return Decision(least.variant, least.reason, all(wish.met for wish in wishes))


def read_policy(texts: Sequence[str], known: Mapping[str, type[Policy]] = POLICIES) -> AllOf:
    """Policies as `name:value`, all of which hold; raises `DeviceError`."""
    parts = []
    for text in texts:
        name, _, value = text.partition(":")
        policy = choose("a policy", known, name)
        try:
            parts.append(policy.read(value))
        except ValueError:
            raise DeviceError(
                f"policy `{name}` must be {name}:{policy.form}, but got {text!r}"
            ) from None
    return AllOf(tuple(parts))


def require_possible(policy: Policy, state: State) -> None:
    """Raises `DeviceError` where no variant satisfies the policy even while nothing is asked."""
    wish = policy.decide(state)
    if not wish.met:
        raise DeviceError(
            f"some variant must satisfy the policy, but {wish.reason}; "
            "relax it, or build a variant that does"
        )
