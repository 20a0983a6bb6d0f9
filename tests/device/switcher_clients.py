"""Clients in threads for tests of the switcher, and waiting with a limit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hdap.device.switcher import Switcher

Image = NDArray[np.float32]


@dataclass
class Clients:
    """Threads that ask without a pause; every answer is compared with that of its variant."""

    asked: int = 0
    lost: list[str] = field(default_factory=list)
    variants: set[str] = field(default_factory=set)


@contextmanager
def clients(
    switcher: Switcher, image: Image, expected: dict[str, Image], number: int = 4
) -> Iterator[Clients]:
    told, stop, lock = Clients(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = switcher.answer(image)
                wrong = not np.allclose(answer.outputs[0], expected[answer.variant], atol=1e-4)
            except Exception as error:
                wrong, answer = True, None
                told.lost.append(repr(error))
            with lock:
                told.asked += 1
                if answer is not None:
                    told.variants.add(answer.variant)
                    if wrong:
                        told.lost.append(f"another answer than {answer.variant}'s")

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()
