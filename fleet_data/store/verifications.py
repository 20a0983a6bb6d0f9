"""What was promised of trials and what was measured of them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hdap.fleet_data.records import VerificationRecord
from hdap.fleet_data.store.codec import number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import verifications

_FIGURES = (
    "predicted_ms",
    "predicted_low_ms",
    "predicted_high_ms",
    "measured_ms",
    "measured_low_ms",
    "measured_high_ms",
)
_PLAIN = ("study_id", "number", "cluster", "devices", "holds", "trial_holds", "simulated")


class VerificationStore(StorePart):
    """Verifications by study and trial; the newest replaces the one before."""

    def save_verification(self, records: Sequence[VerificationRecord]) -> None:
        """Store the clusters of one verified trial in one transaction."""
        with self._database.writing() as connection:
            for record in records:
                place = (
                    verifications.c.study_id == record.study_id,
                    verifications.c.number == record.number,
                    verifications.c.cluster == record.cluster,
                )
                connection.execute(sa.delete(verifications).where(*place))
                connection.execute(sa.insert(verifications).values(_encode(record)))

    def verifications(self, study_id: int) -> tuple[VerificationRecord, ...]:
        """Everything verified of a study, by trial and cluster; empty when nothing was."""
        wanted = (
            sa.select(verifications)
            .where(verifications.c.study_id == study_id)
            .order_by(verifications.c.number, verifications.c.cluster)
        )
        with self._database.reading() as connection:
            return tuple(_decode(row) for row in connection.execute(wanted))


def _encode(record: VerificationRecord) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in (*_PLAIN, "created_at")}
    return plain | {name: number_or_null(getattr(record, name)) for name in _FIGURES}


def _decode(row: Any) -> VerificationRecord:
    plain = {name: getattr(row, name) for name in (*_PLAIN, "created_at")}
    figures: dict[str, Any] = {name: number_or_nan(getattr(row, name)) for name in _FIGURES}
    return VerificationRecord(**plain, **figures)
