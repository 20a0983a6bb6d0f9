"""Base line `hdap-gbrt`: what HDAP's authors use. See `ratio_trees`."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.ensemble import GradientBoostingRegressor

from hdap.fleet_data.records import Floats
from hdap.surrogate.models.ratio_trees import RatioTrees

TREES, RATE, DEPTH = 100, 0.1, 3


@dataclass(frozen=True)
class SmallTrees:
    """T trees of at most `DEPTH` levels as arrays, `T x nodes` each; a leaf is its own child."""

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: Floats
    start: float

    @classmethod
    def of(cls, model: GradientBoostingRegressor, start: float) -> Self:
        """The trees of a fitted model, whose initial prediction is `start`."""
        trees = [stage[0].tree_ for stage in model.estimators_]
        nodes = max(t.node_count for t in trees)
        own = np.arange(nodes)
        feature, left, right = (np.zeros((len(trees), nodes), dtype=np.int64) for _ in range(3))
        threshold, value = (np.zeros((len(trees), nodes)) for _ in range(2))
        for i, tree in enumerate(trees):
            n = tree.node_count
            leaf = tree.children_left < 0
            feature[i, :n] = np.where(leaf, 0, tree.feature)
            threshold[i, :n] = tree.threshold
            left[i, :n] = np.where(leaf, own[:n], tree.children_left)
            right[i, :n] = np.where(leaf, own[:n], tree.children_right)
            value[i, :n] = RATE * tree.value[:, 0, 0]
        return cls(feature, threshold, left, right, value, start)

    def predict(self, ratios: Floats) -> Floats:
        """Milliseconds: `n x groups` -> `n`."""
        # scikit-learn compares in float32, and so must this to take the same branches.
        x = ratios.astype(np.float32)
        rows = np.arange(len(x))[:, None]
        tree = np.arange(len(self.feature))[None, :]
        node = np.zeros((len(x), len(self.feature)), dtype=np.int64)
        for _ in range(DEPTH):
            below = x[rows, self.feature[tree, node]] <= self.threshold[tree, node]
            node = np.where(below, self.left[tree, node], self.right[tree, node])
        result: Floats = self.start + self.value[tree, node].sum(axis=1)
        return result

    def arrays(self) -> dict[str, Any]:
        """All that prediction needs, as arrays."""
        return dict(vars(self))


class HdapGbrt(RatioTrees):
    """Kind `hdap-gbrt`."""

    kind = "hdap-gbrt"
    array_names = ("feature", "threshold", "left", "right", "value", "start")

    @classmethod
    def _grow(cls, ratios: Floats, latency: Floats, seed: int) -> SmallTrees:
        model = GradientBoostingRegressor(
            n_estimators=TREES, learning_rate=RATE, max_depth=DEPTH, random_state=seed
        )
        # every tree checks all anew: a fifth of the time
        with config_context(assume_finite=True, skip_parameter_validation=True):
            model.fit(ratios, latency)
        return SmallTrees.of(model, float(latency.mean()))

    @classmethod
    def _trees(cls, arrays: dict[str, Any]) -> SmallTrees:
        named = {name: arrays[name] for name in cls.array_names[:-1]}
        return SmallTrees(**named, start=float(arrays["start"]))
