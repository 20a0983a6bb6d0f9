"""Studies: what was searched, how far it came, and what was made of its trials since."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace as changed
from datetime import UTC, datetime
from itertools import count

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hdap.fleet_data.callbacks import tell_saved
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, NetworkRecord, StudyRecord, VerificationRecord
from hdap.fleet_data.store.locks import lock_records
from hdap.fleet_data.store.mapper import to_record
from hdap.fleet_data.store.part import (
    StorePart,
    insert,
    insert_one,
    names_of,
    newest,
    not_found,
    replace,
)
from hdap.fleet_data.store.schema import accuracies, studies, study_networks, verifications
from hdap.fleet_data.store.views import create_trials_view

_AT_ONCE = 500


class StudyStore(StorePart):
    """Studies by id or name; networks for parts of the fleet, verifications, accuracies."""

    def create_study(
        self, record: StudyRecord, *, numbered: bool = False, elsewhere: Collection[str] = ()
    ) -> int:
        """Add a study and, for the first of its model, the view `trials_<model>`; the study's id.

        With `numbered` its name gets the first number that makes it new, here and among the names
        `elsewhere`, whoever else adds studies at the same time: `NAME-1`. Raises InputError when
        the name is taken, NotFoundError for a model without architecture.
        """
        with self._database.writing() as connection:
            # One writer at a time from here: on PostgreSQL the view's lock sees to it.
            create_trials_view(connection, record.model)
            taken = set(connection.scalars(sa.select(studies.c.study)))
            if numbered:
                names = (f"{record.name}-{number}" for number in count(1))
                new = (name for name in names if name not in taken and name not in elsewhere)
                record = changed(record, name=next(new))
            if record.name in taken:
                raise InputError(
                    f"a study's name must be new, got name={record.name!r}: "
                    "choose another or resume that one"
                )
            return insert_one(connection, studies, record)

    def finish_study(self, id: int, state: str) -> None:
        """Set the state (`running`, `stopped`, `finished`). Raises NotFoundError."""
        change = sa.update(studies).where(studies.c.study_id == id).values(state=state)
        with self._database.writing() as connection:
            if connection.execute(change).rowcount == 0:
                raise not_found("study", id, names_of(connection, studies.c.study), "`hdap trials`")
        tell_saved(self._select(StudyRecord, studies, studies.c.study_id == id))

    def study(self, id_or_name: int | str | None = None) -> StudyRecord:
        """The study with that id or name, or the newest. Raises NotFoundError."""
        column = studies.c.study if isinstance(id_or_name, str) else studies.c.study_id
        wanted = () if id_or_name is None else (column == id_or_name,)
        with self._database.reading() as connection:
            row = newest(connection, studies, *wanted)
            if row is None:
                names = names_of(connection, studies.c.study)
                raise not_found("study", id_or_name, names, "`hdap search` makes one")
        return to_record(StudyRecord, studies, row)

    def studies(self) -> tuple[StudyRecord, ...]:
        """All studies, oldest first."""
        return self._select(StudyRecord, studies)

    def save_networks(self, study_id: int, records: Sequence[NetworkRecord]) -> None:
        """Store all networks of one study in one transaction; earlier ones are replaced."""
        with self._database.writing() as connection:
            mine = study_networks.c.study_id == study_id
            lock_records(connection, study_networks)
            connection.execute(sa.delete(study_networks).where(mine))
            insert(connection, study_networks, records)

    def networks(self, study_id: int) -> tuple[NetworkRecord, ...]:
        """By number of networks and cluster; empty where they were never asked for."""
        mine = study_networks.c.study_id == study_id
        return self._select(NetworkRecord, study_networks, mine)

    def save_verification(self, records: Sequence[VerificationRecord]) -> None:
        """Store the clusters of one verified trial in one transaction; the newest counts."""
        with self._database.writing() as connection:
            replace(connection, verifications, records, ("study_id", "number", "cluster"))
        tell_saved(records)

    def verifications(self, study_id: int) -> tuple[VerificationRecord, ...]:
        """Everything verified of a study, by trial and cluster; empty when nothing was."""
        mine = verifications.c.study_id == study_id
        return self._select(VerificationRecord, verifications, mine)

    def save_accuracies(
        self, model: str, judged_on: str, channels: Sequence[str], found: Floats
    ) -> None:
        """Store accuracies, finite ones, so that nobody judges these networks again.

        What is known already stays as it is.
        """
        now = datetime.now(UTC)
        rows = [
            {
                "digest": _digest(model, judged_on, text),
                "model": model,
                "judged_on": judged_on,
                "channels": text,
                "accuracy": float(value),
                "created_at": now,
            }
            for text, value in zip(channels, found, strict=True)
        ]
        dialect = sqlite if self._database.is_sqlite else postgresql
        if rows:
            with self._database.writing() as connection:
                connection.execute(dialect.insert(accuracies).on_conflict_do_nothing(), rows)

    def accuracies(self, model: str, judged_on: str, channels: Sequence[str]) -> Floats:
        """The accuracy of each of n configurations, judged so; NaN where it is not known."""
        digests = [_digest(model, judged_on, text) for text in channels]
        known: dict[str, float] = {}
        with self._database.reading() as connection:
            for first in range(0, len(digests), _AT_ONCE):
                some = digests[first : first + _AT_ONCE]
                wanted = sa.select(accuracies.c.digest, accuracies.c.accuracy)
                rows = connection.execute(wanted.where(accuracies.c.digest.in_(some)))
                known |= {row.digest: row.accuracy for row in rows}
        return np.array([known.get(digest, np.nan) for digest in digests])

    def accuracies_on(self, model: str, judged_on: str) -> tuple[tuple[str, ...], Floats]:
        """Every configuration of the model that was judged so, with its accuracy, oldest first."""
        wanted = (
            sa.select(accuracies.c.channels, accuracies.c.accuracy)
            .where(accuracies.c.model == model, accuracies.c.judged_on == judged_on)
            .order_by(accuracies.c.created_at, accuracies.c.channels)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return tuple(row.channels for row in rows), np.array([row.accuracy for row in rows])

    def known_accuracies(self, model: str, channels: Sequence[str]) -> Floats:
        """The newest accuracy of each of n configurations, on whatever it was judged; NaN: none."""
        wanted = (
            sa.select(accuracies.c.channels, accuracies.c.accuracy)
            .where(accuracies.c.model == model, accuracies.c.channels.in_(list(channels)))
            .order_by(accuracies.c.created_at)
        )
        with self._database.reading() as connection:
            known = {row.channels: row.accuracy for row in connection.execute(wanted)}
        return np.array([known.get(text, np.nan) for text in channels])


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
