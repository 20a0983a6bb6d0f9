"""The wide view `trials_<model>`: a trial's figures and one column a width group."""

import json
import re

import sqlalchemy as sa

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.store.schema import models, trials

_LOCK = 0x68646171
_LONGEST_NAME = 63  # PostgreSQL cuts identifiers there


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
