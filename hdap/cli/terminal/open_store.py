"""The one way in which a command opens the database, so that none can forget what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hdap.cli.terminal.output import is_marked, mark_simulated, warn
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
        mark_simulated(simulated=False if figures else None)
        if figures:
            tell_simulated(store)
        yield store


def tell_simulated(store: Store) -> None:
    """Mark the output if it was not and the store holds simulated rows: at first, and whenever rows
    were added."""
    if not is_marked() and store.has_simulated():
        warn(f"{store.name} holds simulated rows: what rests on them was measured on no device")
        mark_simulated(simulated=True)
