"""The one way in which a command opens the database, so that none can forget what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hdap.cli.terminal.output import mark_simulated, warn
from hdap.fleet_data.store import Store


@contextmanager
def open_store(
    db: str, *, create: bool = True, read_only: bool = False, figures: bool = True
) -> Iterator[Store]:
    """Open the store for one command and mark the command's output where its data is simulated.

    Every table and JSON document that follows says so by itself, and so does one line on standard
    error. `figures` false: what the command prints does not rest on measurements. Raises StoreError
    as `Store.open` does.
    """
    with Store.open(db, create=create, read_only=read_only) as store:
        told = False
        if figures:
            told = store.has_simulated()
            if told:
                warn(_words(store))
        mark_simulated(simulated=told if figures else None)
        yield store
        # an ingest may have brought the first of them
        if figures and not told and store.has_simulated():
            warn(_words(store))
            mark_simulated(simulated=True)


def _words(store: Store) -> str:
    return f"{store.name} holds simulated rows: what rests on them was measured on no device"
