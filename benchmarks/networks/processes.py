"""A function in a process of its own, with an end to its time and its memory."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

import torch

from hdap.networks.factories import in_a_line

T = TypeVar("T")
_TO_TIDY_UP = 10.0  # seconds

PRELOADED = ["benchmarks.networks.processes", "benchmarks.networks.stages"]
"""Imported once in the server that processes are forked from: torch alone takes seconds."""

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Limits:
    """What one process may take: seconds, and bytes of address space."""

    seconds: float = 60.0
    memory: int = 12 * 2**30


@dataclass(frozen=True)
class Ended(Generic[T]):
    """What a process gave, or (`failure`) how it ended without giving anything."""

    seconds: float
    value: T | None = None
    failure: str = ""


def in_own_process(function: Callable[..., T], *given: Any, limits: Limits) -> Ended[T]:
    """`function(*given)` elsewhere: whatever it does, this process goes on.

    Function, arguments and result must be picklable. torch is seeded and has one thread; what is
    printed is dropped.
    """
    receiver, sender = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_answer, args=(sender, limits, function, given), daemon=True)
    started = time.perf_counter()
    process.start()
    sender.close()
    ended: Ended[T]
    try:
        receiver.recv()  # it has begun: imports are no part of its time
        started = time.perf_counter()
        in_time = receiver.poll(limits.seconds)
        seconds = time.perf_counter() - started
        if in_time:
            value, failure = receiver.recv()
            process.join(_TO_TIDY_UP)
            ended = Ended(seconds, cast(T, value), failure)
        else:
            ended = Ended(seconds, failure=f"it took longer than {limits.seconds:.0f} s")
    except EOFError:
        process.join()
        seconds = time.perf_counter() - started
        ended = Ended(seconds, failure=f"its process ended with status {process.exitcode}")
    finally:
        process.kill()
        process.join()
        receiver.close()
    return ended


def _answer(
    sender: Connection, limits: Limits, function: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):
        os.dup2(nowhere, standard)
    torch.set_num_threads(1)  # several share the cores without getting in each other's way
    torch.manual_seed(0)
    sender.send(None)
    try:
        answer = (function(*given), "")
    except Exception as error:
        answer = (None, in_a_line(error))
    sender.send(answer)
