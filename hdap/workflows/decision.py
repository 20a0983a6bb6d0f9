"""A decision as a person reads it, on the report's first screen and on a terminal."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ship", "measure first", "do not ship", "nothing yet"]


@dataclass(frozen=True)
class NextStep:
    """A command as it can be pasted, and what it is for."""

    command: str
    purpose: str


@dataclass(frozen=True)
class ShippingDecision:
    """What to ship, how much faster, on how many devices, how sure, what it costs, what is next.

    `headline` says it in a few words, `sentence` with the figures that carry it; `facts` are pairs
    of question and answer, `warnings` what speaks against it, `steps` what to do, in order. A
    predicted number is called predicted.
    """

    outcome: Outcome
    headline: str
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[NextStep, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All that it says, in the order in which it is read."""
        return (
            self.headline,
            self.sentence,
            *(x for pair in self.facts for x in pair),
            *self.warnings,
        )
