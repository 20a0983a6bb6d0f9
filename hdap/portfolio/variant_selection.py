"""Which networks are worth keeping beside each other. No torch here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hdap.fleet_data.records import VariantRecord

Figure = Callable[[VariantRecord], float]


@dataclass(frozen=True)
class LeftOut:
    """A network that is in no bundle, and why."""

    variant: str
    why: str


@dataclass(frozen=True)
class Selection:
    """Variants that stay, FLOPs ascending, those that do not, and what they were compared by."""

    kept: tuple[VariantRecord, ...]
    left_out: tuple[LeftOut, ...]
    compared_by: tuple[str, str, str]


SPEEDS: dict[str, Figure] = {
    "predicted fleet mean": lambda v: v.fleet_mean_ms,
    "latency measured here": lambda v: v.measured_here_ms,
    "FLOPs": lambda v: float(v.flops),
}
"""What says how fast a variant is: the first that is known of all."""

QUALITIES: dict[str, Figure] = {
    "accuracy": lambda v: v.accuracy,
    "kept importance": lambda v: v.kept_importance,
}
"""What says how good a variant is: the first that is known of all."""


def select(variants: Sequence[VariantRecord], most: int | None = None) -> Selection:
    """Leave out what another variant dominates, then down to `most`.

    A variant is dominated by one that is at least as fast, as small and as good, and better in one
    of these; of equals the first stays. Of what is more than `most`, the one goes whose neighbours
    are nearest to each other in FLOPs; the cheapest and the dearest stay (of one, the dearest).
    """
    ordered = sorted(variants, key=lambda v: v.flops)
    fast, speed = _known(SPEEDS, ordered)
    good, quality = _known(QUALITIES, ordered)
    figures = [(speed(v), float(v.bytes), -quality(v)) for v in ordered]
    kept: list[VariantRecord] = []
    left_out: list[LeftOut] = []
    for place, variant in enumerate(ordered):
        winner = _dominating(figures, place)
        if winner is None:
            kept.append(variant)
            continue
        named, same = ordered[winner].variant, figures[winner] == figures[place]
        than = f"is as fast, small and good as {named}" if same else f"is dominated by {named}"
        left_out.append(LeftOut(variant.variant, than))
    while most is not None and len(kept) > most:
        gone = kept.pop(_most_crowded([v.flops for v in kept]))
        left_out.append(LeftOut(gone.variant, f"is beyond the {most} variants asked for"))
    return Selection(tuple(kept), tuple(left_out), (fast, "bytes", good))


def _known(figures: dict[str, Figure], variants: Sequence[VariantRecord]) -> tuple[str, Figure]:
    """The first that is known of all variants, else the last."""
    for name, figure in figures.items():
        if all(math.isfinite(figure(variant)) for variant in variants):
            return name, figure
    return name, figure


def _dominating(figures: Sequence[tuple[float, ...]], place: int) -> int | None:
    """The place of one that is no worse in any figure (less is better), and not an equal later.

    Of several the fastest, which nothing dominates in turn.
    """
    mine = figures[place]
    found = [
        other
        for other, theirs in enumerate(figures)
        if all(a <= b for a, b in zip(theirs, mine, strict=True))
        and (theirs != mine or other < place)
    ]
    return min(found, key=lambda other: (figures[other], other), default=None)


def _most_crowded(flops: Sequence[int]) -> int:
    """The place, not an end, whose neighbours are nearest; with no place between, the first."""
    inner = range(1, len(flops) - 1)
    return min(inner, key=lambda i: flops[i + 1] / max(flops[i - 1], 1), default=0)
