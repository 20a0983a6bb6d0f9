"""How good a surrogate becomes with how many measurements a cluster."""

import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Ints
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.training_data.training_cells import Cells, TrainingData
from hdap.surrogate.validation.cross_validation import (
    HeldOut,
    Score,
    calibration,
    cross_validate,
    score,
)

HELD_SHARE = 0.25
INNER_FOLDS = 4
SIZES = (5, 10, 20, 50, 100, 200)
SEEDS = 2
"""Random splits that an error is the mean of."""


def errors_by_rows(kind: type[FleetSurrogate], data: TrainingData) -> tuple[tuple[int, float], ...]:
    """Mean held-out error by pruned measurements a cluster that are learned from, at most; sizes
    from which nothing can be learned are left out."""
    most = int(np.bincount(data.cluster[~data.dense], minlength=data.clusters).max() * 0.75)
    found = []
    for size in [*(s for s in SIZES if s < most), most]:
        try:
            held = [held_out_at(kind, data, size, seed) for seed in range(SEEDS)]
        except NotEnoughDataError:
            continue
        error = np.concatenate([np.abs(np.expm1(h.error)) for h in held])
        found.append((size, float(error.mean())))
    return tuple(found)


def scores_at(
    kind: type[FleetSurrogate], data: TrainingData, rows: int, seed: int
) -> tuple[Score, ...]:
    """Figures by cluster when at most `rows` pruned measurements of each are learned from.

    A quarter of the configurations is held out from all clusters; intervals are calibrated by
    cross-validation among what is learned from.
    """
    return _scores(kind, *split_rows(data, rows, seed), seed)


def split_rows(data: TrainingData, rows: int, seed: int) -> tuple[TrainingData, TrainingData]:
    """What is learned from, at most `rows` pruned rows a cluster, and a quarter of the
    configurations that is held out from all clusters."""
    rng = np.random.default_rng(seed)
    held = _held_out(data, rng)
    known = data.at(~held)
    return known.at(thinned(known, rows, rng)), data.at(held)


def held_out_at(kind: type[FleetSurrogate], data: TrainingData, rows: int, seed: int) -> HeldOut:
    """Predictions of what `scores_at` holds out, by surrogates whose intervals are not calibrated:
    a fifth of the work where only errors are asked for."""
    known, unseen = split_rows(data, rows, seed)
    return _predicted(kind.fit(known, seed), unseen.cells)


def newcomer_scores(
    kind: type[FleetSurrogate], data: TrainingData, own: int, seed: int
) -> tuple[Score, ...]:
    """Figures by cluster where each in turn is the newcomer: at most `own` pruned measurements of
    it are learned from and all of the others'."""
    rng = np.random.default_rng(seed)
    held = _held_out(data, rng)
    known = data.at(~held)
    few = np.isin(np.arange(len(known)), thinned(known, own, rng))
    result = []
    for cluster in range(data.clusters):
        chosen = known.at(few | (known.cluster != cluster))
        unseen = data.at(held & (data.cluster == cluster))
        result.append(_scores(kind, chosen, unseen, seed)[cluster])
    return tuple(result)


def _held_out(data: TrainingData, rng: np.random.Generator) -> Bools:
    """Rows of a quarter of the pruned configurations, in all clusters."""
    pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
    held: Bools = np.isin(data.configuration, pruned[: round(HELD_SHARE * len(pruned))])
    return held


def _scores(
    kind: type[FleetSurrogate], known: TrainingData, unseen: TrainingData, seed: int
) -> tuple[Score, ...]:
    """Figures on `unseen` of what learned from `known` and was calibrated there."""
    surrogate = kind.fit(known, seed)
    factors = calibration(cross_validate(kind, known, INNER_FOLDS, seed), known.clusters)
    held = _predicted(surrogate.calibrated(factors), unseen.cells)
    return score(held, unseen, calibrated=True)


def _predicted(surrogate: FleetSurrogate, cells: Cells) -> HeldOut:
    prediction = surrogate.predict(cells.counts)
    place = np.arange(len(cells)), cells.cluster
    fold = np.zeros(len(cells), np.int64)
    return HeldOut(cells, fold, prediction.log_ms[place], prediction.log_sd[place])


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
