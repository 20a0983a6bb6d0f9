"""Quantisers that speak through the root logger and in warnings, silenced."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hdap.networks.forward_pass import quiet


@contextmanager
def silent() -> Iterator[None]:
    """Neither warnings nor messages below an error; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet():
            yield
    finally:
        logging.disable(before)
