"""How good a surrogate becomes with how many measurements a cluster."""

import numpy as np

from hdap.fleet_data.records import Ints
from hdap.surrogate.base import FleetSurrogate
from hdap.surrogate.data import TrainingData
from hdap.surrogate.validation import HeldOut, Score, calibration, cross_validate, score

HELD_SHARE = 0.25
INNER_FOLDS = 4


def scores_at(
    kind: type[FleetSurrogate], data: TrainingData, rows: int, seed: int
) -> tuple[Score, ...]:
    """Figures by cluster when at most `rows` pruned measurements of each are learned from.

    A quarter of the configurations is held out from all clusters; intervals are calibrated by
    cross-validation among what is learned from.
    """
    rng = np.random.default_rng(seed)
    pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
    held = np.isin(data.configuration, pruned[: round(HELD_SHARE * len(pruned))])
    known = data.at(~held)
    known = known.at(thinned(known, rows, rng))
    surrogate = kind.fit(known, seed)
    factors = calibration(cross_validate(kind, known, INNER_FOLDS, seed), data.clusters)
    unseen = data.at(held)
    cells = unseen.cells
    prediction = surrogate.calibrated(factors).predict(cells.counts)
    place = np.arange(len(cells)), cells.cluster
    return score(
        HeldOut(
            cells,
            np.zeros(len(cells), np.int64),
            prediction.log_ms[place],
            prediction.log_sd[place],
        ),
        unseen,
        calibrated=True,
    )


def thinned(data: TrainingData, rows: int, rng: np.random.Generator) -> Ints:
    """Rows of `data` to keep: all dense ones and at most `rows` pruned ones a cluster, as a plan
    would take them: a configuration is measured again only when all others have been."""
    keep = [np.flatnonzero(data.dense)]
    for cluster in range(data.clusters):
        mine = rng.permutation(np.flatnonzero((data.cluster == cluster) & ~data.dense))
        first = np.unique(data.configuration[mine], return_index=True)[1]
        again = np.setdiff1d(np.arange(len(mine)), first)
        keep.append(mine[np.concatenate([rng.permutation(first), again])][:rows])
    result: Ints = np.sort(np.concatenate(keep))
    return result
