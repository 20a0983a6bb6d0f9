from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Measurements
from hdap.surrogate.models.registry import load_surrogate
from hdap.surrogate.validation.fit_surrogates import FitResult, fit

MODEL = "mobilenetv1_100"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Fitting = Callable[[Callable[[Measurements], Bools]], FitResult]


@pytest.fixture
def fit_rows(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> Fitting:
    def run(keep: Callable[[Measurements], Bools]) -> FitResult:
        rows = measured(MODEL)
        names = ("device", "configuration", "runtime", "batch_size", "latency_ms")
        names += ("latency_p95_ms", "runs", "measured_at")  # type: ignore[assignment]
        kept = keep(rows)
        chosen = replace(rows, context={}, **{n: getattr(rows, n)[kept] for n in names})
        clustering = replace(true_clustering(MODEL), id=7)
        return fit(
            architecture(MODEL),
            chosen,
            clustering,
            seed=1,
            created_at=NOW,
            measurement_mark=5,
            base_lines=("roofline",),
        )

    return run


@pytest.fixture
def pruned_in(
    true_clustering: Callable[[str], ClusteringRecord],
) -> Callable[[Measurements, int], Bools]:
    def rows(measurements: Measurements, cluster: int) -> Bools:
        within = true_clustering(MODEL).cluster[measurements.device] == cluster
        mine: Bools = ~measurements.dense & within
        return mine

    return rows


def test_records_say_what_was_fitted_and_load_again(fit_rows: Fitting) -> None:
    result = fit_rows(lambda rows: np.ones(len(rows), np.bool_))
    assert [r.cluster for r in result.records] == [0, 1, 2, 3]
    for record, figures in zip(result.records, result.scores, strict=True):
        assert (record.clustering_id, record.measurement_mark, record.created_at) == (7, 5, NOW)
        assert (record.model, record.kind) == (MODEL, "fleet")
        assert record.mape == figures.mape
        assert record.rows > 80
        assert 0.8 < record.coverage <= 1.0
    assert sum(r.rows for r in result.records) == 750
    payloads = tuple(r.payload for r in result.records)
    restored = load_surrogate("fleet", result.surrogate.architecture, payloads)
    counts = result.surrogate.architecture.widths[None, :] // 2
    assert (restored.predict(counts).high_ms == result.surrogate.predict(counts).high_ms).all()


def test_base_lines_are_scored_on_the_same_cells(fit_rows: Fitting) -> None:
    result = fit_rows(lambda rows: np.ones(len(rows), np.bool_))
    assert set(result.base_lines) == {"roofline"}
    for ours, theirs in zip(result.scores, result.base_lines["roofline"], strict=True):
        assert theirs.cells == ours.cells
        assert theirs.mape > ours.mape


def test_a_cluster_without_pruned_rows_is_fitted_with_a_warning(
    fit_rows: Fitting, pruned_in: Callable[[Measurements, int], Bools]
) -> None:
    result = fit_rows(lambda rows: ~pruned_in(rows, 2))
    assert result.warnings == (
        "cluster 2: no pruned network was measured here: it rests on the other clusters and on its "
        "dense latency; measure 20 configurations: hdap plan",
    )
    assert result.records[2].rows == 0
    assert np.isnan(result.records[2].mape)
    assert np.isfinite(result.surrogate.predict(np.ones((1, 14), np.int64)).ms).all()


def test_a_cluster_with_few_rows_is_fitted_with_a_warning(
    fit_rows: Fitting, pruned_in: Callable[[Measurements, int], Bools]
) -> None:
    def keep(rows: Measurements) -> Bools:
        kept = ~pruned_in(rows, 1)
        kept[np.flatnonzero(~kept)[:12]] = True
        return kept

    warnings = fit_rows(keep).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("cluster 1: only 12 measurements of pruned networks")
    assert "measure 8 more" in warnings[0]


def test_dense_rows_alone_are_not_enough(
    fit_rows: Fitting,
) -> None:
    def dense(rows: Measurements) -> Bools:
        return rows.dense

    with pytest.raises(NotEnoughDataError, match=r"8 pruned configurations, but got 0 \(240 rows"):
        fit_rows(dense)


def test_an_unknown_kind_is_refused_before_any_work(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    with pytest.raises(InputError, match="'oracle'"):
        fit(architecture(MODEL), measured(MODEL), true_clustering(MODEL), kind="oracle")
