"""A reduced fleet and its raw rows give the same clusters and surrogates, as it was measured."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.ingest_file import FrameStream, Source
from hdap.fleet_data.ingest.reading import AS_FOUND
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.reduction.warehouse import read_reduced
from hdap.fleet_data.store import Store
from hdap.surrogate.validation.fit_surrogates import fit
from hdap.workflows.fleet_artifacts import _memory_boundness

DATA = Path(__file__).resolve().parents[1] / "data"
BUNDLED = DATA.parents[1] / "hdap" / "data"
FILES = {
    "resnet50": BUNDLED / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.csv.gz",
    "rollout": BUNDLED / "rollout-resnet50.csv.gz",
}
ARCHITECTURES = {"rollout": "resnet50"}
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass(frozen=True)
class _Learned:
    rows: int
    cluster: Ints
    outlier: Bools
    factor: Floats
    errors: Floats


def _learned(
    source: Source, architecture: Architecture, db: Path, *, fitted: bool = False
) -> _Learned:
    with Store.open(str(db)) as store:
        store.save_architecture(architecture)
        ingest(store, source)
        measurements = store.measurements()
        known = _memory_boundness(store, measurements)
    found = cluster(
        measurements,
        created_at=NOW,
        measurement_mark=1,
        resamples=0,
        memory_boundness=known,
    )
    order = np.argsort(found.device_ids.astype(str))
    scores = fit(architecture, measurements, found, base_lines=()).scores if fitted else ()
    return _Learned(
        len(measurements),
        found.cluster[order],
        found.outlier[order],
        found.factor[order],
        np.array([score.mape for score in scores]),
    )


def _reduced(path: Path) -> FrameStream:
    found = read_reduced("duckdb", str(path), AS_FOUND)
    return FrameStream(found.name, found.frames)


@pytest.mark.parametrize("fleet", FILES)
def test_clusters_and_held_out_errors_are_those_of_the_raw_rows(
    fleet: str, architecture: Callable[[str], Architecture], tmp_path: Path
) -> None:
    described = architecture(ARCHITECTURES.get(fleet, fleet))
    fitted = fleet != "mobilenetv1_100"  # the same way, for less of the suite's time
    raw = _learned(FILES[fleet], described, tmp_path / "raw.db", fitted=fitted)
    reduced = _learned(_reduced(FILES[fleet]), described, tmp_path / "small.db", fitted=fitted)
    assert reduced.rows < raw.rows
    assert adjusted_rand_score(raw.cluster, reduced.cluster) == 1.0
    assert (raw.outlier == reduced.outlier).all()
    if fitted:
        assert abs(raw.errors.mean() - reduced.errors.mean()) < 0.002


@pytest.mark.parametrize("fleet", FILES)
def test_clusters_are_the_same_where_every_row_is_an_everyday_one(
    fleet: str, architecture: Callable[[str], Architecture], tmp_path: Path
) -> None:
    described = architecture(ARCHITECTURES.get(fleet, fleet))
    path = tmp_path / "without_times.parquet"
    frame = pl.read_csv(FILES[fleet], schema_overrides={"channels": pl.String})
    frame.drop("timestamp").write_parquet(path)
    raw = _learned(FILES[fleet], described, tmp_path / "raw.db")
    reduced = _learned(_reduced(path), described, tmp_path / "small.db")
    assert reduced.rows < 0.8 * raw.rows
    assert adjusted_rand_score(raw.cluster, reduced.cluster) == 1.0
    np.testing.assert_allclose(raw.factor, reduced.factor, rtol=0.011)
