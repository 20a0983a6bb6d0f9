import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.records import (
    ClusteringRecord,
    LevelPlanRecord,
    LevelRecord,
    OperatingPointRecord,
)
from hdap.fleet_data.store import Store

NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
CLUSTERING = ClusteringRecord(
    algorithm="kmeans",
    parameters={},
    seed=0,
    created_at=NOW,
    measurement_mark=0,
    stability=math.nan,
    device_ids=np.array([], dtype=object),
    cluster=np.array([], dtype=np.int64),
    outlier=np.array([], dtype=np.bool_),
    representative=np.array([], dtype=np.bool_),
    factor=np.array([]),
    features=(),
    fingerprint=np.empty((0, 0)),
    clusters=(),
)
LEVELS = (
    LevelRecord(0, "conv1=8", 100, 10, 0.5, 0.875),
    LevelRecord(1, "", 400, 40, 1.0, 0.9375),
)
POINTS = tuple(
    OperatingPointRecord(0, clock, level, 10.0 * (level + 1) / clock, 1.0, 99.0, level == 0)
    for clock in (0.4, 1.0)
    for level in (0, 1)
)


def _plan(store: Store, **changes: object) -> LevelPlanRecord:
    clustering = store.save_clustering(CLUSTERING)
    plan = LevelPlanRecord(
        model="net",
        architecture_digest="a1",
        clustering_id=clustering,
        target_ms=30.0,
        settings={"clocks": "0.4,1.0", "choices": [{"levels": 1, "mean_kept": 0.5}]},
        simulated=False,
        created_at=NOW,
        levels=LEVELS,
        points=POINTS,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def test_a_plan_comes_back_with_its_levels_and_points(store: Store) -> None:
    plan = _plan(store)
    number = store.save_level_plan(plan)
    assert store.level_plan("net") == replace(plan, id=number)
    assert store.level_plan("net", number) == replace(plan, id=number)


def test_the_newest_plan_of_a_model_counts(store: Store) -> None:
    first = store.save_level_plan(_plan(store))
    second = store.save_level_plan(_plan(store, target_ms=20.0))
    store.save_level_plan(_plan(store, model="other"))
    assert store.level_plan("net").target_ms == 20.0
    assert (store.level_plan("net", first).id, second) == (first, first + 1)


def test_an_accuracy_that_nobody_knows_comes_back_as_nan(store: Store) -> None:
    unknown = replace(LEVELS[0], accuracy=math.nan)
    store.save_level_plan(_plan(store, levels=(unknown,)))
    (level,) = store.level_plan("net").levels
    assert math.isnan(level.accuracy)


def test_a_plan_that_is_not_stored_names_what_to_do(store: Store) -> None:
    with pytest.raises(NotFoundError, match="hdap elastic plan"):
        store.level_plan("net")


def test_accuracies_are_known_by_their_channels(store: Store) -> None:
    store.save_accuracies("net", "digits", ["conv1=8"], np.array([0.75]))
    found = store.known_accuracies("net", ["", "conv1=8"])
    assert np.isnan(found[0])
    assert found[1] == 0.75
    assert np.isnan(store.known_accuracies("other", ["conv1=8"])).all()
