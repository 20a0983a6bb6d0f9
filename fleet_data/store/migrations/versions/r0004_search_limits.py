"""Searching at the limit: objectives, fronts, accuracy.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Trials say what was minimised, views follow; networks for parts of the fleet."""
    for number in (1, 2, 3):
        op.add_column("trials", sa.Column(f"value_{number}", FLOAT, nullable=True))
    op.add_column("trials", sa.Column("accuracy", FLOAT, nullable=True))
    op.create_table(
        "accuracies",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("judged_on", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("accuracy", FLOAT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "study_networks",
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("networks", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", FLOAT, nullable=True),
        sa.Column("latency_low_ms", FLOAT, nullable=True),
        sa.Column("latency_high_ms", FLOAT, nullable=True),
        sa.Column("one_for_all_ms", FLOAT, nullable=True),
        sa.Column("cost", FLOAT, nullable=True),
        sa.Column("advised", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.study_id"]),
        sa.PrimaryKeyConstraint("study_id", "networks", "cluster"),
    )
    for name in ("trial_summary", "best_trials", "pareto_trials"):
        op.execute(f"DROP VIEW {name}")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


_COLUMNS = """trial_id, study_id, study, number, flops, parameters, fleet_mean_ms,
    fleet_mean_low_ms, fleet_mean_high_ms, fleet_p95_ms, ucb_ms, worst_cluster_ms,
    worst_cluster, kept_importance, feasible, started_at, finished_at, channels, value_1, value_2,
    value_3, accuracy"""

_RANKED = """
    SELECT t.*, row_number() OVER (
        PARTITION BY t.study_id
        ORDER BY coalesce(t.value_1, t.ucb_ms), t.ucb_ms, t.number) AS place
    FROM trials t WHERE t.feasible"""

# what a front is over: the objectives, where a study has several; else fleet mean and importance
_AXES = """
    SELECT t.*,
        CASE WHEN t.value_2 IS NULL THEN t.fleet_mean_ms ELSE t.value_1 END AS axis_1,
        coalesce(t.value_2, -t.kept_importance) AS axis_2
    FROM trials t WHERE t.feasible"""

# the fastest of all that keep more: a trial that is not below it is dominated
_FRONT_OF_TWO = f"""
    SELECT a.*, min(a.axis_1) OVER (
        PARTITION BY a.study_id ORDER BY a.axis_2, a.axis_1, a.number
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS least_before
    FROM ({_AXES}) a WHERE a.value_3 IS NULL"""

_FRONT_OF_THREE = f"""
    SELECT {_COLUMNS} FROM trials t WHERE t.feasible AND t.value_3 IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM trials o
        WHERE o.study_id = t.study_id AND o.feasible
            AND o.value_1 <= t.value_1 AND o.value_2 <= t.value_2 AND o.value_3 <= t.value_3
            AND (o.value_1 < t.value_1 OR o.value_2 < t.value_2 OR o.value_3 < t.value_3
                OR o.number < t.number))"""

VIEWS = {
    "best_trials": f"SELECT {_COLUMNS} FROM ({_RANKED}) ranked WHERE place = 1",
    "pareto_trials": f"""
        SELECT {_COLUMNS} FROM ({_FRONT_OF_TWO}) front
        WHERE least_before IS NULL OR axis_1 < least_before
        UNION ALL {_FRONT_OF_THREE}""",
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
}
