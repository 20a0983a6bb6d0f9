"""Studies: what was searched, with which settings, and how far it came."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import StudyRecord
from hdap.fleet_data.store.codec import jsonable, number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart, names_of, not_found
from hdap.fleet_data.store.schema import studies
from hdap.fleet_data.store.trials_view import create_trials_view

_PLAIN = (
    "model",
    "sampler",
    "seed",
    "objective",
    "flops_low",
    "flops_high",
    "clustering_id",
    "created_at",
    "state",
)


class StudyStore(StorePart):
    """Studies by id or name."""

    def create_study(self, record: StudyRecord) -> int:
        """Add a study and, for the first of its model, the view `trials_<model>`; the study's id.

        Raises InputError when the name is taken, NotFoundError for a model without architecture.
        """
        values = {name: getattr(record, name) for name in _PLAIN} | {
            "study": record.name,
            "kept_importance_floor": number_or_null(record.kept_importance_floor),
            "settings": jsonable(record.settings),
            "sampler_state": jsonable(record.sampler_state),
        }
        with self._database.writing() as connection:
            create_trials_view(connection, record.model)
            taken = sa.select(studies.c.study_id).where(studies.c.study == record.name)
            if connection.scalar(taken) is not None:
                raise _taken(record.name)
            try:
                added = connection.execute(sa.insert(studies).values(values))
            except IntegrityError as error:
                if "study" in str(error.orig) and "clustering_id" not in str(error.orig):
                    raise _taken(record.name) from error
                raise
            (key,) = added.inserted_primary_key or (0,)
        return int(key)

    def finish_study(self, id: int, state: str) -> None:
        """Set the state (`running`, `stopped`, `finished`). Raises NotFoundError."""
        change = sa.update(studies).where(studies.c.study_id == id).values(state=state)
        with self._database.writing() as connection:
            if connection.execute(change).rowcount == 0:
                raise not_found("study", id, names_of(connection, studies.c.study), "`hdap trials`")

    def study(self, id_or_name: int | str | None = None) -> StudyRecord:
        """The study with that id or name, or the newest. Raises NotFoundError."""
        wanted = sa.select(studies).order_by(studies.c.study_id.desc()).limit(1)
        if isinstance(id_or_name, str):
            wanted = wanted.where(studies.c.study == id_or_name)
        elif id_or_name is not None:
            wanted = wanted.where(studies.c.study_id == id_or_name)
        with self._database.reading() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                names = names_of(connection, studies.c.study)
                raise not_found("study", id_or_name or "at all", names, "`hdap search` makes one")
        return _decode(row)

    def studies(self) -> tuple[StudyRecord, ...]:
        """All studies, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(studies).order_by(studies.c.study_id)).all()
        return tuple(_decode(row) for row in rows)


def _taken(name: str) -> InputError:
    return InputError(f"a study's name must be new, got {name=}: choose another or resume that one")


def _decode(row: Any) -> StudyRecord:
    return StudyRecord(
        name=row.study,
        kept_importance_floor=number_or_nan(row.kept_importance_floor),
        settings=row.settings,
        sampler_state=row.sampler_state,
        id=row.study_id,
        **{name: getattr(row, name) for name in _PLAIN},
    )
