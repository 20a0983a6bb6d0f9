"""What long work calls while it runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
"""Takes one line for whoever waits."""
Saved = Callable[[object], None]
"""Takes a record that the store has just saved: an epoch, a step, a verification, a study."""
_listeners: list[Saved] = []


@contextmanager
def listening(saved: Saved) -> Iterator[None]:
    """Inside, `saved` is told what this process stores."""
    _listeners.append(saved)
    try:
        yield
    finally:
        _listeners.remove(saved)


def tell_saved(records: Iterable[object]) -> None:
    """Tell who listens; called by the store once the records are safe."""
    for record in records if _listeners else ():
        for saved in _listeners:
            saved(record)
