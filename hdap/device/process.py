"""What this process takes of the device: memory, cores, priority."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading

from hdap.device.sensors import read_text

LESS_URGENT = 10
"""What is added to the nice value of a thread that gives way."""
MADV_POPULATE_READ = 22
"""Of <linux/mman.h>."""


def resident_mb() -> float | None:
    """Memory of this process that is in RAM, mapped files included (MiB)."""
    for row in read_text("/proc/self/status").splitlines():
        if row.startswith("VmRSS:"):
            with contextlib.suppress(ValueError, IndexError):
                return float(row.split()[1]) / 1024
    return None


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def give_way() -> None:
    """Let other threads of this process go first, where the system knows threads by number."""
    with contextlib.suppress(OSError, AttributeError):
        me = threading.get_native_id() if sys.platform == "linux" else None
        if me is not None:
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + LESS_URGENT)


def give_back() -> None:
    """Let the C library return freed memory to the system, where it can (glibc)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def page_in(path: str) -> bool:
    """Enter all pages of a mapped file into this process's tables, in milliseconds.

    False where the file is not mapped here, or the system cannot (Linux can from 5.14 on).
    """
    mapped, wanted = False, os.path.realpath(path)
    with contextlib.suppress(OSError, AttributeError, TypeError, ValueError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as rows:
            for row in rows:
                words = row.rstrip("\n").split(maxsplit=5)
                if len(words) < 6 or words[5] != wanted:
                    continue
                first, last = (int(end, 16) for end in words[0].split("-"))
                if advise(first, last - first, MADV_POPULATE_READ) != 0:
                    return False
                mapped = True
    return mapped
