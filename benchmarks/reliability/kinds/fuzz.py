"""Garbage of every kind of document to its reader: read, or refused in one line.

A seed is a case: `python -m benchmarks.reliability.attacks --only fuzz --cases 100000`.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.attack import Attack, Outcome, Tally
from benchmarks.reliability.readers import READERS, Reader, tried

_ALL = sum(reader.share for reader in READERS)


def _garbage(reader: Reader) -> Callable[[Path, int], Outcome]:
    def attack(folder: Path, cases: int) -> Outcome:
        tally = Tally()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about tensors that nobody should make
            for seed in range(max(1, cases * reader.share // _ALL)):
                tally.add(tried(folder, seed, reader))
        return tally.outcome()

    return attack


ATTACKS = tuple(Attack(reader.name, _garbage(reader)) for reader in READERS)
