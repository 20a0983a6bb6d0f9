import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import (
    ClusteringRecord,
    PortfolioRecord,
    VariantClusterRecord,
    VariantRecord,
)
from hdap.fleet_data.store import Store

NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
PREDICTED = tuple(VariantClusterRecord(k, 10.0 * (k + 1), 9.0, 99.0, math.nan) for k in (0, 1))
SMALL = VariantRecord(
    variant="v0",
    channels="conv1=56",
    parameters=10,
    bytes=48,
    flops=100,
    kept_importance=0.5,
    accuracy=0.875,
    fleet_mean_ms=12.0,
    fleet_mean_low_ms=11.0,
    fleet_mean_high_ms=13.0,
    measured_here_ms=3.5,
    provenance={"from": "flops", "study": "s", "trial": 3},
    clusters=PREDICTED,
)
DENSE = replace(SMALL, variant="v1", channels="", flops=400, kept_importance=1.0)
PORTFOLIO = PortfolioRecord(
    model="resnet50",
    architecture_digest="a1",
    clustering_id=None,
    source="flops",
    bundle="/bundles/one",
    settings={"flops": ["25%", "100%"], "left_out": []},
    simulated=False,
    created_at=NOW,
    variants=(SMALL, DENSE),
)


def _clustering(store: Store) -> int:
    ids = np.array(["a", "b", "c"], dtype=object)
    return store.save_clustering(
        ClusteringRecord(
            algorithm="kmeans",
            parameters={},
            seed=0,
            created_at=NOW,
            measurement_mark=0,
            stability=math.nan,
            device_ids=ids,
            cluster=np.array([0, 0, 1]),
            outlier=np.zeros(3, dtype=np.bool_),
            representative=np.zeros(3, dtype=np.bool_),
            factor=np.array([1.0, 2.0, 1.0]),
            features=(),
            fingerprint=np.empty((3, 0)),
            clusters=(),
        )
    )


def test_a_portfolio_comes_back_with_its_variants_and_clusters(store: Store) -> None:
    portfolio = replace(PORTFOLIO, clustering_id=_clustering(store))
    number = store.save_portfolio(portfolio)
    assert store.portfolio(number) == replace(portfolio, id=number)


def test_a_portfolio_of_no_fleet_has_no_latencies(store: Store) -> None:
    unknown: dict[str, Any] = {f"fleet_mean{part}_ms": math.nan for part in ("", "_low", "_high")}
    lone = replace(SMALL, clusters=(), measured_here_ms=math.nan, accuracy=math.nan, **unknown)
    store.save_portfolio(replace(PORTFOLIO, variants=(lone,)))
    (found,) = store.portfolio().variants
    assert found.clusters == ()
    assert math.isnan(found.fleet_mean_ms)
    assert math.isnan(found.accuracy)
    assert store.query("SELECT fleet_mean_ms, accuracy FROM variants").rows == ((None, None),)


def test_the_newest_portfolio_counts_unless_one_is_named(store: Store) -> None:
    first = store.save_portfolio(PORTFOLIO)
    second = store.save_portfolio(replace(PORTFOLIO, source="elastic"))
    assert store.portfolio().source == "elastic"
    assert (store.portfolio(first).source, second) == ("flops", first + 1)
    with pytest.raises(NotFoundError, match="hdap portfolio build"):
        store.portfolio(second + 1)


def test_what_is_measured_of_exactly_that_configuration_stands_beside_what_is_predicted(
    store: Store, tracer: Any, tmp_path: Path
) -> None:
    number = store.save_portfolio(replace(PORTFOLIO, clustering_id=_clustering(store)))
    assert [c.devices for c in store.portfolio(number).variants[0].clusters] == [0, 0]
    rows = [
        "device_id,model,channels,latency_ms,batch_size",
        *("a,resnet50,conv1=56,8.0,", "a,resnet50,conv1=56,10.0,1"),
        "b,resnet50,conv1=56,20.0,",  # twice as slow as its cluster's typical device
        "a,resnet50,conv1=56,500.0,8",  # another batch size
        "a,resnet50,conv1=48,1.0,",  # another configuration
        "c,resnet50,,40.0,",
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    ingest(store, tmp_path / "rows.csv", trace=tracer)
    small, dense = store.portfolio(number).variants
    assert [(c.measured_ms, c.devices) for c in small.clusters[:1]] == [(9.5, 2)]
    assert math.isnan(small.clusters[1].measured_ms)
    assert [(c.measured_ms, c.devices) for c in dense.clusters[1:]] == [(40.0, 1)]
    asked = (
        "SELECT variant, cluster, predicted_ms, measured_ms, measured_devices "
        "FROM variant_latencies WHERE measured_devices > 0 ORDER BY variant"
    )
    assert store.query(asked).rows == (("v0", 0, 10.0, 9.5, 2), ("v1", 1, 20.0, 40.0, 1))
