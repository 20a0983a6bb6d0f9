"""Dialects in which the reduction can be printed; nothing here imports Ibis."""

DIALECTS = {
    "duckdb": "duckdb",
    "spark": "databricks",  # Spark SQL; Ibis compiles `pyspark` in a session alone
    "clickhouse": "clickhouse",
    "postgres": "postgres",
    "snowflake": "snowflake",
    "trino": "trino",
    "bigquery": "bigquery",
}
"""What Ibis calls each."""
DIALECT_NAMES = tuple(DIALECTS)
ESTIMATED = ("trino", "bigquery")
"""Engines whose quantiles are estimates: they have no exact ones for groups."""
