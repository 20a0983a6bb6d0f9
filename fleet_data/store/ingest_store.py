"""Ingests: each one transaction, and what each of them brought."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from hdap.fleet_data.records import IngestRecord
from hdap.fleet_data.store.ingest_content import CONTENT, contents_of
from hdap.fleet_data.store.ingest_writer import IngestWriter
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import ingests

_INGEST = ("source", "started_at", "rows_read", "rows_added", "rows_known", "rows_rejected")


class IngestStore(StorePart):
    """Ingests."""

    @contextmanager
    def ingesting(self, source: str, version: str | None = None) -> Iterator[IngestWriter]:
        """One ingest, one transaction: all of it is stored at the end, or nothing.

        `version` is what changes when the source is written anew. One at a time; readers go on
        undisturbed. Raises StoreError.
        """
        with self._database.bulk_writing() as connection:
            writer = IngestWriter(connection, source, version)
            yield writer
            writer.finish()

    def ingested_versions(self) -> dict[str, str]:
        """The version of each source that was last ingested, of those that had one."""
        known = sa.select(ingests.c.source, ingests.c.source_version)
        known = known.where(ingests.c.source_version.is_not(None)).order_by(ingests.c.ingest_id)
        with self._database.reading() as connection:
            return {row.source: row.source_version for row in connection.execute(known)}

    def ingests(self) -> tuple[IngestRecord, ...]:
        """All ingests, in their order."""
        names = (*_INGEST, *CONTENT)
        wanted = sa.select(ingests.c.ingest_id, *(ingests.c[name] for name in names))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(ingests.c.ingest_id)).all()
            unknown = [row.ingest_id for row in rows if row.content_rows is None]
            read = contents_of(connection, unknown) if unknown else {}
        return tuple(
            IngestRecord(*row[1:7], *read.get(row.ingest_id, tuple(v or 0 for v in row[7:])))
            for row in rows
        )

    def fold_log(self) -> None:
        """After an ingest, whose log is as large as the file. Raises StoreError."""
        self._database.fold_log()
