"""Which networks parts of the fleet would get, for one network, two, ... of a study."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from hdap.fleet_data.records import NetworkRecord
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import study_networks


class NetworkStore(StorePart):
    """Networks by study; those of a later search replace the earlier ones."""

    def save_networks(self, study_id: int, records: Sequence[NetworkRecord]) -> None:
        """Store all networks of one study in one transaction."""
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(study_networks).where(study_networks.c.study_id == study_id)
            )
            connection.execute(sa.insert(study_networks), [asdict(r) for r in records])

    def networks(self, study_id: int) -> tuple[NetworkRecord, ...]:
        """By number of networks and cluster; empty where they were never asked for."""
        wanted = (
            sa.select(study_networks)
            .where(study_networks.c.study_id == study_id)
            .order_by(study_networks.c.networks, study_networks.c.cluster)
        )
        with self._database.reading() as connection:
            return tuple(NetworkRecord(**row._mapping) for row in connection.execute(wanted))
