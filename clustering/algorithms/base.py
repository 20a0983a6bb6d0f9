"""The interface that every clustering algorithm keeps."""

from abc import ABC, abstractmethod

import numpy as np

from hdap.fleet_data.records import Floats, Ints

OUTLIER = -1


class ClusteringAlgorithm(ABC):
    """Groups n fingerprints.

    `fit` gets `points` (n x F, n >= 3, finite, about 1 apart within a kind) and gives a label for
    each: 0..K-1 without gaps, or OUTLIER. It keeps no state, does not write to `points`, takes
    chance from `rng` alone, and knows nothing of the order of points. With `clusters` (1..n) it
    gives that many, or raises NotEnoughDataError where it cannot; without, it chooses the number,
    and gives one where the points are of one kind.
    """

    name: str

    @abstractmethod
    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        """Labels (n) of `points` (n x F)."""
