"""Software: precision, threads and firmware of what ran a measurement.

They were extra columns before, kept as JSON with the row: they move to a table of their own, and
the rows get the identity that their file gives them today.

Revision ID: 0004
Revises: 0003
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from hdap.fleet_data.ingest.row_hash import with_software

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAMES = ("firmware", "precision", "threads")


def upgrade() -> None:
    """Make the table, add the columns; what extra columns say of them moves."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "software",
        sa.Column("software_key", key, primary_key=True),
        sa.Column("software", sa.Text, nullable=False, unique=True),
        sa.Column("precision", sa.Text),
        sa.Column("threads", sa.BigInteger),
        sa.Column("firmware", sa.Text),
    )
    # as SQL: SQLite adds a column with a reference so, and alembic would copy the table
    integer = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(
        f"ALTER TABLE all_measurements ADD COLUMN software_key {integer} "
        "REFERENCES software (software_key)"
    )
    op.add_column("cluster_devices", sa.Column("software", sa.Text))
    _move(op.get_bind())


def _move(connection: sa.Connection) -> None:
    rows = sa.table(
        "all_measurements",
        *(sa.column(n) for n in ("measurement_id", "software_key", "row_hash", "extra")),
    )
    said = sa.or_(*(rows.c.extra.like(f'%"{name}"%') for name in NAMES))
    found = connection.execute(sa.select(rows).where(said)).all()
    changed, keys = [], dict[str, int]()
    for row in found:
        extra = json.loads(row.extra)
        known = {
            name: extra.pop(name).strip()
            for name in NAMES
            if _keeps_contract(name, (extra.get(name) or "").strip())
        }
        if known:
            text = json.dumps(known, ensure_ascii=False, sort_keys=True)
            key = keys.setdefault(text, len(keys) + 1)
            left = json.dumps(extra, separators=(",", ":")) if any(extra.values()) else None
            changed.append((row.measurement_id, key, with_software(row.row_hash, text), left))
    _insert(connection, keys)
    if changed:
        names = ("id", "key", "hash", "left")
        connection.execute(
            sa.update(rows)
            .where(rows.c.measurement_id == sa.bindparam("id"))
            .values(
                software_key=sa.bindparam("key"),
                row_hash=sa.bindparam("hash"),
                extra=sa.bindparam("left"),
            ),
            [dict(zip(names, one, strict=True)) for one in changed],
        )


def _insert(connection: sa.Connection, keys: dict[str, int]) -> None:
    table = sa.table("software", *(sa.column(n) for n in ("software_key", "software", *NAMES)))
    values: list[dict[str, Any]] = []
    for text, key in keys.items():
        known = json.loads(text)
        threads = int(known["threads"]) if "threads" in known else None
        values.append(
            {"software_key": key, "software": text, "threads": threads}
            | {name: known.get(name) for name in ("firmware", "precision")}
        )
    if values:
        connection.execute(sa.insert(table), values)
        if connection.dialect.name == "postgresql":
            connection.execute(
                sa.text("SELECT setval(pg_get_serial_sequence('software', 'software_key'), :key)"),
                {"key": len(values)},
            )


def _keeps_contract(name: str, value: str) -> bool:
    if name == "threads":
        return value.isascii() and value.isdigit() and 1 <= int(value) <= 2**31
    return 1 <= len(value) <= 128
