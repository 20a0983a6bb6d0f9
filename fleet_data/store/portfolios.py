"""Portfolios: networks of one model that were made together, and how fast each is where."""

from typing import Any

import sqlalchemy as sa

from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord
from hdap.fleet_data.store.codec import jsonable, number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart, not_found
from hdap.fleet_data.store.schema import portfolios, variant_clusters, variants

_PORTFOLIO = (
    "model",
    "architecture_digest",
    "clustering_id",
    "source",
    "bundle",
    "simulated",
    "created_at",
)
_PLAIN = ("variant", "channels", "parameters", "bytes", "flops")
_FIGURES = (
    "kept_importance",
    "accuracy",
    "fleet_mean_ms",
    "fleet_mean_low_ms",
    "fleet_mean_high_ms",
    "measured_here_ms",
)
_LATENCIES = ("predicted_ms", "predicted_low_ms", "predicted_high_ms", "measured_ms")

_measured = sa.table(
    "variant_latencies",
    sa.column("portfolio_id"),
    sa.column("variant"),
    sa.column("cluster"),
    *(sa.column(name) for name in _LATENCIES),
    sa.column("measured_devices"),
)


class PortfolioStore(StorePart):
    """Portfolios by number; none is ever replaced."""

    def save_portfolio(self, record: PortfolioRecord) -> int:
        """Store a portfolio with its variants in one transaction; returns its number."""
        plain = {name: getattr(record, name) for name in _PORTFOLIO}
        plain["settings"] = jsonable(record.settings)
        with self._database.writing() as connection:
            made = connection.execute(sa.insert(portfolios).values(plain))
            (number,) = made.inserted_primary_key or (0,)
            mine = {"portfolio_id": number}
            rows = [mine | _encode(variant) for variant in record.variants]
            connection.execute(sa.insert(variants), rows)
            clusters = [
                mine | {"variant": variant.variant} | _encode_cluster(cluster)
                for variant in record.variants
                for cluster in variant.clusters
            ]
            if clusters:
                connection.execute(sa.insert(variant_clusters), clusters)
        return int(number)

    def portfolio(self, number: int | None = None) -> PortfolioRecord:
        """The portfolio of that number, or the newest, with what is measured of it by now.

        Raises NotFoundError where there is none.
        """
        wanted = sa.select(portfolios).order_by(portfolios.c.portfolio_id.desc()).limit(1)
        if number is not None:
            wanted = wanted.where(portfolios.c.portfolio_id == number)
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
            if row is None:
                known = [str(i) for i in connection.scalars(sa.select(portfolios.c.portfolio_id))]
                remedy = "make one: hdap portfolio build"
                raise not_found("portfolio", number or "at all", known, remedy)
            clusters = _clusters(connection, row.portfolio_id)
            parts = connection.execute(
                sa.select(variants)
                .where(variants.c.portfolio_id == row.portfolio_id)
                .order_by(variants.c.flops, variants.c.variant)
            )
            found = tuple(_decode(part, clusters.get(part.variant, ())) for part in parts)
        plain = {name: getattr(row, name) for name in _PORTFOLIO}
        return PortfolioRecord(**plain, settings=row.settings, variants=found, id=row.portfolio_id)


def _clusters(
    connection: sa.Connection, number: int
) -> dict[str, tuple[VariantClusterRecord, ...]]:
    rows = connection.execute(
        sa.select(_measured)
        .where(_measured.c.portfolio_id == number)
        .order_by(_measured.c.variant, _measured.c.cluster)
    )
    found: dict[str, tuple[VariantClusterRecord, ...]] = {}
    for row in rows:
        latencies = {name: number_or_nan(getattr(row, name)) for name in _LATENCIES}
        cluster = VariantClusterRecord(row.cluster, **latencies, devices=row.measured_devices)
        found[row.variant] = (*found.get(row.variant, ()), cluster)
    return found


def _encode(variant: VariantRecord) -> dict[str, Any]:
    plain = {name: getattr(variant, name) for name in _PLAIN}
    figures = {name: number_or_null(getattr(variant, name)) for name in _FIGURES}
    return plain | figures | {"provenance": jsonable(variant.provenance)}


def _encode_cluster(cluster: VariantClusterRecord) -> dict[str, Any]:
    return {
        "cluster": cluster.cluster,
        "latency_ms": number_or_null(cluster.predicted_ms),
        "latency_low_ms": number_or_null(cluster.predicted_low_ms),
        "latency_high_ms": number_or_null(cluster.predicted_high_ms),
    }


def _decode(row: Any, clusters: tuple[VariantClusterRecord, ...]) -> VariantRecord:
    plain = {name: getattr(row, name) for name in _PLAIN}
    figures: dict[str, Any] = {name: number_or_nan(getattr(row, name)) for name in _FIGURES}
    return VariantRecord(**plain, **figures, provenance=row.provenance, clusters=clusters)
