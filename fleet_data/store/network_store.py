"""Networks in the making: training runs, compressions, levels of elastic networks, portfolios."""

from collections.abc import Sequence

import sqlalchemy as sa

from hdap.fleet_data.callbacks import tell_saved
from hdap.fleet_data.records import (
    CompressionStepRecord,
    EpochRecord,
    LevelPlanRecord,
    LevelRecord,
    OperatingPointRecord,
    PortfolioRecord,
    VariantClusterRecord,
    VariantRecord,
)
from hdap.fleet_data.store.mapper import to_record
from hdap.fleet_data.store.part import (
    StorePart,
    insert,
    insert_one,
    names_of,
    newest,
    not_found,
    replace,
    select,
)
from hdap.fleet_data.store.schema import (
    compression_steps,
    epochs,
    level_plans,
    levels,
    operating_points,
    portfolios,
    variant_clusters,
    variant_latencies,
    variants,
)


class NetworkStore(StorePart):
    """Runs by name; of an epoch or a step the newest record counts.

    Level plans and portfolios are known by number; none is ever replaced.
    """

    def save_epochs(self, records: Sequence[EpochRecord]) -> None:
        """Store epochs in one transaction."""
        with self._database.writing() as connection:
            replace(connection, epochs, records, ("run", "epoch"))
        tell_saved(records)

    def epochs(self, run: str | None = None) -> tuple[EpochRecord, ...]:
        """Epochs of a run, or of all, by run and epoch; empty when there are none."""
        wanted = () if run is None else (epochs.c.run == run,)
        return self._select(EpochRecord, epochs, *wanted)

    def training_runs(self) -> tuple[str, ...]:
        """Names of all runs and compressions that are stored, ascending."""
        wanted = sa.union(sa.select(epochs.c.run), sa.select(compression_steps.c.run))
        with self._database.reading() as connection:
            return tuple(sorted(row[0] for row in connection.execute(wanted)))

    def save_compression_step(self, record: CompressionStepRecord) -> None:
        """Store one step."""
        with self._database.writing() as connection:
            replace(connection, compression_steps, [record], ("run", "step"))
        tell_saved([record])

    def compression_steps(self, run: str) -> tuple[CompressionStepRecord, ...]:
        """Steps of a compression in order; empty when there are none."""
        mine = compression_steps.c.run == run
        return self._select(CompressionStepRecord, compression_steps, mine)

    def save_level_plan(self, record: LevelPlanRecord) -> int:
        """Store a plan with its levels and points in one transaction; returns its number."""
        with self._database.writing() as connection:
            number = insert_one(connection, level_plans, record)
            insert(connection, levels, record.levels, level_plan_id=number)
            insert(connection, operating_points, record.points, level_plan_id=number)
        return number

    def level_plan(self, model: str, number: int | None = None) -> LevelPlanRecord:
        """The plan of that number, or the model's newest; NotFoundError where there is none."""
        wanted = [level_plans.c.model == model]
        if number is not None:
            wanted.append(level_plans.c.level_plan_id == number)
        with self._database.reading() as connection:
            row = newest(connection, level_plans, *wanted)
            if row is None:
                known = names_of(connection, level_plans.c.model)
                what = model if number is None else f"{model}, plan {number}"
                raise not_found("level plan of", what, known, "make one: hdap elastic plan")
            mine = row.level_plan_id
            steps = select(connection, LevelRecord, levels, levels.c.level_plan_id == mine)
            of_plan = operating_points.c.level_plan_id == mine
            points = select(connection, OperatingPointRecord, operating_points, of_plan)
        return to_record(LevelPlanRecord, level_plans, row, levels=steps, points=points)

    def save_portfolio(self, record: PortfolioRecord) -> int:
        """Store a portfolio with its variants in one transaction; returns its number."""
        with self._database.writing() as connection:
            number = insert_one(connection, portfolios, record)
            insert(connection, variants, record.variants, portfolio_id=number)
            for variant in record.variants:
                place = {"portfolio_id": number, "variant": variant.variant}
                insert(connection, variant_clusters, variant.clusters, **place)
        return number

    def portfolio(self, number: int | None = None) -> PortfolioRecord:
        """The portfolio of that number, or the newest, with what is measured of it by now.

        Raises NotFoundError where there is none.
        """
        wanted = () if number is None else (portfolios.c.portfolio_id == number,)
        with self._database.reading() as connection:
            row = newest(connection, portfolios, *wanted)
            if row is None:
                known = names_of(connection, portfolios.c.portfolio_id)
                remedy = "make one: hdap portfolio build"
                raise not_found("portfolio", number or "at all", known, remedy)
            found = _variants(connection, row.portfolio_id)
        return to_record(PortfolioRecord, portfolios, row, variants=found)


def _variants(connection: sa.Connection, number: int) -> tuple[VariantRecord, ...]:
    """The variants of a portfolio, the cheapest first."""
    clusters: dict[str, list[VariantClusterRecord]] = {}
    columns = variant_latencies.c
    seen = sa.select(variant_latencies).where(columns.portfolio_id == number)
    for row in connection.execute(seen.order_by(columns.variant, columns.cluster)):
        cluster = to_record(VariantClusterRecord, variant_latencies, row)
        clusters.setdefault(row.variant, []).append(cluster)
    made = sa.select(variants).where(variants.c.portfolio_id == number)
    return tuple(
        to_record(VariantRecord, variants, row, clusters=tuple(clusters.get(row.variant, ())))
        for row in connection.execute(made.order_by(variants.c.flops, variants.c.variant))
    )
