"""Ctrl-C that waits: a batch is handed over whole or not at all."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def postponed_interrupt() -> Iterator[None]:
    """Ctrl-C inside takes effect at the end; a second one at once.

    Outside the main thread, where Python delivers no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught and callable(previous):
            previous(number, frame)
        caught.append(number)

    if not callable(previous):
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if caught:
        previous(caught[0], None)


@contextmanager
def ignored_interrupt() -> Iterator[None]:
    """A process that is started inside ignores Ctrl-C from its first instruction on.

    Outside the main thread, where Python sets no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
