"""Old dense rows become fewer; clusters, marks and what is told of a device stay."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.history import STRATA
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.store import Store
from hdap.fleet_data.units.latency_unit import parse_units

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def clustered(store: Store) -> ClusteringRecord:
    return cluster(store.measurements(), resamples=0, created_at=NOW, measurement_mark=0)


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_a_measured_fleet_has_the_same_clusters_before_and_after(
    store: Store,
    model: str,
    fleet_file: Callable[[str], Path],
    architecture: Callable[[str], Architecture],
) -> None:
    store.save_architecture(architecture(model))
    ingest(store, fleet_file(model))
    before, mark = clustered(store), store.measurement_mark()
    foreseen = store.history_before(LATER)
    done = store.prune_history(LATER)
    assert foreseen == done
    assert done.removed > 0.3 * done.old > 0
    store.give_back_space()
    after = clustered(store)
    assert len(store.measurements()) == done.rows - done.removed
    assert adjusted_rand_score(before.cluster, after.cluster) == 1.0
    assert (before.outlier == after.outlier).all()
    assert store.measurement_mark() == mark
    np.testing.assert_allclose(after.factor, before.factor, rtol=0.02)
    # what is gone does not come back, and what there is does not count twice
    again = ingest(store, fleet_file(model))
    assert (again.added, again.known) == (0, again.rows)
    assert "left out as known" in again.warnings[0]


def history(days: int, rows: int, device: str = "cam-1") -> pl.DataFrame:
    chance = np.random.default_rng(1)
    times = [NOW - timedelta(days=days * (1 - n / rows)) for n in range(rows)]
    return pl.DataFrame(
        {
            "device_id": device,
            "model": "resnet50",
            "latency_ms": np.exp(chance.normal(3, 0.1, rows)),
            "timestamp": times,
            "temperature_c": chance.normal(50, 5, rows),
        }
    )


def test_only_what_is_old_goes_and_a_row_says_how_many_it_stands_for(store: Store) -> None:
    frame = history(100, 200)
    ingest(store, frame)
    before = store.measurements()
    done = store.prune_history(NOW - timedelta(days=50))
    assert (done.old, done.kept, done.removed) == (100, STRATA, 100 - STRATA)
    after = store.measurements()
    assert np.median(after.latency_ms[:STRATA]) == pytest.approx(
        np.median(before.latency_ms[:100]), rel=0.01
    )
    told = store.query("SELECT sum(stands_for), count(*) FROM all_measurements")
    assert [int(x) for x in told.rows[0]] == [100, 100 + STRATA]
    # what was made fewer once is made fewer with what grew old since
    more = store.prune_history(NOW - timedelta(days=25))
    assert (more.old, more.kept) == (50 + STRATA, STRATA)
    told = store.query("SELECT sum(stands_for) FROM all_measurements")
    assert int(told.rows[0][0]) == 150
    pruned = store.query("SELECT rows_removed FROM pruned_histories ORDER BY 1").rows
    assert [row[0] for row in pruned] == [50, 91]


def test_software_rows_set_aside_and_new_devices_are_left_alone(store: Store) -> None:
    old = history(100, 40).with_columns(firmware=pl.lit("1"))
    ingest(store, pl.concat([old, old.with_columns(firmware=pl.lit("2"))]))
    done = store.prune_history(NOW)
    assert done.kept == 2 * STRATA
    # a device that has sent nothing yet may bring its history
    assert ingest(store, history(100, 40, "cam-2")).added == 40


def test_a_file_that_is_all_of_a_pruned_history_adds_nothing(store: Store) -> None:
    ingest(store, history(100, 40))
    store.prune_history(NOW)
    again = ingest(store, history(100, 40).with_columns(weight=pl.lit(7.0)))
    assert (again.added, again.known) == (0, 40)
    assert again.warnings[0].startswith("40 rows were left out as known")
    assert store.devices().weights.tolist() == [1.0]
    # of another network nothing is stored, so nothing stands for it
    other = history(100, 40).with_columns(model=pl.lit("resnet18"))
    assert ingest(store, other).added == 40


def test_rows_set_aside_are_still_read_as_somebody_says(store: Store) -> None:
    fleet = [history(100, 40, f"cam-{n}") for n in range(8)]
    odd = history(100, 40, "cam-8").with_columns(pl.col("latency_ms") * 1000)
    ingest(store, pl.concat([*fleet, odd]))
    assert [found.devices for found in store.set_aside()] == [("cam-8",)]
    # a few rows of it were right, so a row stands for others of it
    ingest(store, history(90, 40, "cam-8"))
    store.prune_history(NOW)
    repaired = ingest(store, odd, units=parse_units(["cam-8=us"]))
    assert (repaired.read_anew, store.set_aside()) == (40, ())


def test_few_rows_stay_as_they_are(store: Store) -> None:
    ingest(store, history(100, STRATA))
    assert store.prune_history(NOW).removed == 0
