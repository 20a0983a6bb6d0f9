"""Keeping other libraries' chatter off the terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("timm", "huggingface_hub", "torch", "torch_pruning", "urllib3")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and log messages of the model libraries; errors still raise."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
