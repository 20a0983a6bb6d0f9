"""Accuracies of pruned networks that were judged once, so that nobody judges them again."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hdap.fleet_data.records import Floats
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import accuracies

_AT_ONCE = 500


class AccuracyStore(StorePart):
    """Accuracies by model, by what it was judged on and how, and by canonical channel text."""

    def accuracies(self, model: str, judged_on: str, channels: Sequence[str]) -> Floats:
        """The accuracy of each of n configurations; NaN where it is not known."""
        digests = [_digest(model, judged_on, text) for text in channels]
        known: dict[str, float] = {}
        with self._database.reading() as connection:
            for first in range(0, len(digests), _AT_ONCE):
                some = digests[first : first + _AT_ONCE]
                wanted = sa.select(accuracies.c.digest, accuracies.c.accuracy)
                rows = connection.execute(wanted.where(accuracies.c.digest.in_(some)))
                known |= {row.digest: row.accuracy for row in rows}
        return np.array([known.get(digest, np.nan) for digest in digests])

    def save_accuracies(
        self, model: str, judged_on: str, channels: Sequence[str], found: Floats
    ) -> None:
        """Store accuracies, finite ones; what is known already stays as it is."""
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
        with self._database.writing() as connection:
            if rows:
                connection.execute(dialect.insert(accuracies).on_conflict_do_nothing(), rows)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
