"""The views: what people ask for most, and `trials_<model>` with one column a width group."""

import json
import re

import sqlalchemy as sa

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.store.schema import measurements, models, trials
from hdap.fleet_data.telemetry import CONTEXT

_LOCK = 0x68646171
_LONGEST_NAME = 63  # PostgreSQL cuts identifiers there


def create_views(connection: sa.Connection) -> None:
    """Create the views that every database has."""
    server = connection.dialect.name == "postgresql"
    for name, query in _views(connection.dialect.name).items():
        statement = f"CREATE VIEW {name} AS {query}"
        connection.exec_driver_sql(statement.replace("%", "%%") if server else statement)


def drop_views(connection: sa.Connection) -> None:
    """Drop those that `create_views` made, in this or an earlier version."""
    there = sa.inspect(connection).get_view_names()
    cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
    for name in _views(connection.dialect.name):
        if name in there:
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}{cascade}")


def create_trials_view(connection: sa.Connection, model: str) -> None:
    """Create the view, or create it anew for the present architecture of the model.

    Raises NotFoundError for a model without architecture.
    """
    server = connection.dialect.name == "postgresql"
    if server:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    stored = sa.select(models.c.architecture, models.c.trials_view).where(models.c.model == model)
    row = connection.execute(stored).one_or_none()
    if row is None:
        raise NotFoundError(
            f"a study needs the architecture of its model, none stored for {model=}: "
            f"run `hdap model {model}` first"
        )
    groups = group_names(row.architecture)
    name = row.trials_view or _free_name(connection, model)
    connection.exec_driver_sql(f'DROP VIEW IF EXISTS "{name}"')
    statement = _view(connection.dialect.name, name, model, groups)
    connection.exec_driver_sql(statement.replace("%", "%%") if server else statement)
    connection.execute(sa.update(models).where(models.c.model == model).values(trials_view=name))


def group_names(architecture: str) -> list[str]:
    """The width groups' names, in order, of an architecture's JSON."""
    return [group["name"] for group in json.loads(architecture)["groups"]]


def _free_name(connection: sa.Connection, model: str) -> str:
    base = "trials_" + re.sub(r"\W", "_", model, flags=re.ASCII).lower()
    base = base[: _LONGEST_NAME - 4]
    taken = set(connection.scalars(sa.select(models.c.trials_view)))
    names = [base] + [f"{base}_{number}" for number in range(2, len(taken) + 3)]
    return next(name for name in names if name not in taken)


def _view(dialect: str, name: str, model: str, groups: list[str]) -> str:
    figures = [f"t.{column.name}" for column in trials.columns if column.name != "channels"]
    counts = [f"{_count(dialect, group)} AS {_identifier(group)}" for group in groups]
    return (
        f'CREATE VIEW "{name}" AS SELECT {", ".join(figures + counts)} FROM trials t '
        f"JOIN studies s ON s.study_id = t.study_id WHERE s.model = {_literal(model)}"
    )


def _count(dialect: str, group: str) -> str:
    if dialect == "postgresql":
        return f"(t.channels ->> {_literal(group)})::bigint"
    if '"' in group or "\\" in group:  # a JSON path cannot name these
        return f"(SELECT value FROM json_each(t.channels) WHERE key = {_literal(group)})"
    path = '$."' + group + '"'
    return f"json_extract(t.channels, {_literal(path)})"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_ISO_TIME = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', m.measured_at_us / 1e6, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(m.measured_at_us / 1e6) AT TIME ZONE 'UTC', "
    """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
}

_CONTEXT = ", ".join(f"m.{name}" for name in CONTEXT)


def _views(dialect: str) -> dict[str, str]:
    """All of them, each after those that it reads."""
    looks = ", s.unit_ms AS looks_like_ms, s.factor, i.source"
    aside = """
        JOIN unit_suspicions s ON s.suspicion_id = m.suspicion_id
        JOIN ingests i ON i.ingest_id = m.ingest_id"""
    return {
        "measurements": f"SELECT {_COUNTED} FROM all_measurements m WHERE m.suspicion_id IS NULL",
        "telemetry": _telemetry(dialect, "measurements"),
        "set_aside": _telemetry(dialect, "all_measurements", looks) + aside,
        **_VIEWS,
    }


_COUNTED = ", ".join(f"m.{column.name}" for column in measurements.columns)


def _telemetry(dialect: str, rows: str, more: str = "") -> str:
    """The contract's columns again, as they were ingested."""
    return f"""
        SELECT d.device_id, c.model, m.latency_ms, c.channels, {_ISO_TIME[dialect]} AS timestamp,
            m.latency_p95_ms, m.runs, m.batch_size, r.runtime,
            w.precision, w.threads, w.firmware, m.reduced_rows, m.reduced_spread, {_CONTEXT},
            d.weight, m.extra{more}
        FROM {rows} m
        JOIN devices d ON d.device_key = m.device_key
        JOIN configurations c ON c.configuration_key = m.configuration_key
        LEFT JOIN runtimes r ON r.runtime_key = m.runtime_key
        LEFT JOIN software w ON w.software_key = m.software_key"""


_COLUMNS = ", ".join(trials.c.keys())

_RANKED = """
    SELECT t.*, row_number() OVER (
        PARTITION BY t.study_id
        ORDER BY coalesce(t.value_1, t.ucb_ms), t.ucb_ms, t.number) AS place
    FROM trials t WHERE t.feasible AND t.value_2 IS NULL"""

# what a front is over: the objectives, where a study has several; else fleet mean and importance
_AXES = """
    SELECT t.*,
        CASE WHEN t.value_2 IS NULL THEN t.fleet_mean_ms ELSE t.value_1 END AS axis_1,
        coalesce(t.value_2, -t.kept_importance) AS axis_2
    FROM trials t WHERE t.feasible AND t.value_3 IS NULL"""


def _front_of_two(axes: str) -> str:
    """The fastest of all that keep more: a trial that is not below it is dominated."""
    return f"""
        SELECT {_COLUMNS} FROM (
            SELECT a.*, min(a.axis_1) OVER (
                PARTITION BY a.study_id ORDER BY a.axis_2, a.axis_1, a.number
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS least_before
            FROM ({axes}) a) front
        WHERE least_before IS NULL OR axis_1 < least_before"""


_FRONT_OF_THREE = f"""
    SELECT {_COLUMNS} FROM trials t WHERE t.feasible AND t.value_3 IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM trials o
        WHERE o.study_id = t.study_id AND o.feasible
            AND o.value_1 <= t.value_1 AND o.value_2 <= t.value_2 AND o.value_3 <= t.value_3
            AND (o.value_1 < t.value_1 OR o.value_2 < t.value_2 OR o.value_3 < t.value_3
                OR o.number < t.number))"""


def _scaled(value: str) -> str:
    """How far a value is from the least of its front, in units of the front's extent."""
    least, most = (f"{end}({value}) OVER (PARTITION BY study_id)" for end in ("min", "max"))
    return f"coalesce(({value} - {least}) / nullif({most} - {least}, 0), 0)"


# The balanced trial of a front (`hdap.search.analysis.pareto_front.distances`, with its weight).
_BALANCED = f"""
    SELECT d.*, row_number() OVER (
        PARTITION BY d.study_id
        ORDER BY CASE
            WHEN scaled_1 >= scaled_2 AND scaled_1 >= scaled_3 THEN scaled_1
            WHEN scaled_2 >= scaled_3 THEN scaled_2 ELSE scaled_3 END
            + 0.05 * (scaled_1 + scaled_2 + scaled_3),
            value_1, value_2, value_3, number) AS place
    FROM (
        SELECT p.*, {_scaled("value_1")} AS scaled_1, {_scaled("value_2")} AS scaled_2,
            {_scaled("value_3")} AS scaled_3
        FROM ({_front_of_two(f"{_AXES} AND t.value_2 IS NOT NULL")}
            UNION ALL {_FRONT_OF_THREE}) p) d"""

# A device's latency over its factor is what the typical device of its cluster takes. Each
# configuration that is a variant is summed up once, however many portfolios it is in.
_BY_DEVICE = """
    SELECT w.clustering_id, w.model, w.channels, k.cluster, k.device_id,
        avg(m.latency_ms / coalesce(k.factor, 1)) AS typical_ms
    FROM (
        SELECT DISTINCT p.clustering_id, c.model, c.channels, c.configuration_key
        FROM portfolios p
        JOIN variants v ON v.portfolio_id = p.portfolio_id
        JOIN configurations c ON c.model = p.model AND c.channels = v.channels) w
    JOIN measurements m ON m.configuration_key = w.configuration_key
    JOIN devices d ON d.device_key = m.device_key
    JOIN cluster_devices k ON k.clustering_id = w.clustering_id AND k.device_id = d.device_id
    WHERE coalesce(m.batch_size, 1) = 1
    GROUP BY w.clustering_id, w.model, w.channels, k.cluster, k.device_id"""

_BY_CLUSTER = f"""
    SELECT clustering_id, model, channels, cluster,
        avg(typical_ms) AS measured_ms, count(*) AS devices
    FROM ({_BY_DEVICE}) by_device GROUP BY clustering_id, model, channels, cluster"""

_VARIANT_LATENCIES = f"""
    SELECT p.portfolio_id, p.model, k.variant, k.cluster,
        k.predicted_ms, k.predicted_low_ms, k.predicted_high_ms,
        s.measured_ms, coalesce(s.devices, 0) AS measured_devices
    FROM variant_clusters k
    JOIN variants v ON v.portfolio_id = k.portfolio_id AND v.variant = k.variant
    JOIN portfolios p ON p.portfolio_id = k.portfolio_id
    LEFT JOIN ({_BY_CLUSTER}) s
        ON s.clustering_id = p.clustering_id AND s.model = p.model AND s.channels = v.channels
        AND s.cluster = k.cluster"""

_VIEWS = {
    "best_trials": f"""
        SELECT {_COLUMNS} FROM ({_RANKED}) ranked WHERE place = 1
        UNION ALL SELECT {_COLUMNS} FROM ({_BALANCED}) balanced WHERE place = 1""",
    "pareto_trials": f"{_front_of_two(_AXES)} UNION ALL {_FRONT_OF_THREE}",
    "trial_summary": """
        SELECT s.study_id, s.study, s.model, s.sampler, s.objective, s.state,
            s.flops_low, s.flops_high, s.kept_importance_floor,
            count(t.trial_id) AS trials,
            count(CASE WHEN t.feasible THEN 1 END) AS feasible,
            max(b.number) AS best_number, max(b.fleet_mean_ms) AS best_fleet_mean_ms,
            max(b.flops) AS best_flops, max(b.kept_importance) AS best_kept_importance,
            s.created_at, min(t.started_at) AS first_started_at,
            max(t.finished_at) AS last_finished_at
        FROM studies s
        LEFT JOIN trials t ON t.study_id = s.study_id
        LEFT JOIN best_trials b ON b.study_id = s.study_id
        GROUP BY s.study_id, s.study, s.model, s.sampler, s.objective, s.state,
            s.flops_low, s.flops_high, s.kept_importance_floor, s.created_at""",
    "variant_latencies": _VARIANT_LATENCIES,
    "assignment_summary": """
        SELECT s.study_id, s.study, s.model, a.number, t.flops, t.parameters, t.kept_importance,
            count(*) AS devices, sum(d.weight) AS weight,
            count(CASE WHEN a.in_time THEN 1 END) AS in_time,
            count(CASE WHEN a.number <> a.number_before THEN 1 END) AS moved,
            max(a.latency_ms) AS slowest_ms,
            min(a.probability_in_time) AS least_probability_in_time,
            max(a.assigned_at) AS assigned_at
        FROM assignments a
        JOIN studies s ON s.study_id = a.study_id
        JOIN trials t ON t.study_id = a.study_id AND t.number = a.number
        LEFT JOIN devices d ON d.device_id = a.device_id
        GROUP BY s.study_id, s.study, s.model, a.number, t.flops, t.parameters,
            t.kept_importance""",
}
