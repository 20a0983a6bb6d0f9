"""A few of many trials that differ from one another."""

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, Ints

DIFFERING = 1 / 4
"""Of the width groups that trials differ in at all: networks of one list differ in that many, as
long as there are enough."""


def apart(counts: Counts, size: int, least: int) -> Ints:
    """Places of at most `size` of `n x groups`, each different from those before it in at least
    `least` groups; the first is always among them."""
    chosen: list[int] = []
    for row, own in enumerate(counts):
        if ((counts[chosen] != own).sum(axis=1) >= least).all():
            chosen.append(row)
        if len(chosen) == size:
            break
    return np.array(chosen, dtype=np.int64)


def different(counts: Counts, size: int) -> Ints:
    """As `apart`, with as large a demand (`DIFFERING`, halved again and again) as fills the list.

    Equal configurations are never listed twice.
    """
    moving = int((counts != counts[:1]).any(axis=0).sum())
    least = max(round(DIFFERING * moving), 1)
    while len(chosen := apart(counts, size, least)) < min(size, len(counts)) and least > 1:
        least //= 2
    return chosen


def evenly(values: Floats, size: int) -> Ints:
    """Places of at most `size` points of a front (`n x m`, in its order), both ends among them,
    at about equal distances along it, in units of its extent."""
    if len(values) <= size:
        return np.arange(len(values))
    extent = np.ptp(values, axis=0)
    steps = np.diff(values, axis=0) / np.where(extent > 0.0, extent, 1.0)
    along = np.concatenate([[0.0], np.sqrt((steps**2).sum(axis=1)).cumsum()])
    wanted = np.linspace(0.0, along[-1], size)
    places = np.unique(np.abs(along[:, None] - wanted).argmin(axis=0))
    # Where one point is the nearest twice, another one takes the place that is free.
    others = np.setdiff1d(np.arange(len(values)), places)
    more = others[np.linspace(0, len(others) - 1, size - len(places)).round().astype(np.int64)]
    found: Ints = np.union1d(places, more)
    return found
