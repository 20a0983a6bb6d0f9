"""A program that ends in a line and a status, whatever happens to it or to its streams."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable

from hdap.device.messages import DeviceError, first_line

DEBUG = "HDAP_DEBUG"
"""Where this variable is set, what nobody expected is shown with its traceback."""
STOPPED = 130
_STREAMS = ("stdin", "stdout", "stderr")
_GONE = (errno.ENOSPC, errno.EPIPE, errno.EBADF, errno.EIO, errno.EDQUOT)


def end_in_a_line(
    name: str,
    work: Callable[[], int],
    stopped: str = "stopped",
    known: tuple[type[Exception], ...] = (DeviceError,),
) -> int:
    """What `work` returns, else 1 after a problem, 130 after Ctrl-C; each in one line.

    `name` begins the lines. Whoever reads no more of what is written (`| head`) is no problem:
    status 0.
    """
    keep_streams()
    try:
        status = work()
        return status if _flushed(name) else 1
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        return status if _flushed(name) else status or 1
    except KeyboardInterrupt:
        _say(name, stopped)
        return STOPPED
    except BrokenPipeError:
        _drop("stdout")
        return 0
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        _say(name, _what(error, known))
        return 1


def keep_streams() -> None:
    """Standard streams that are closed lead nowhere; letters that a terminal lacks are escaped.

    Without this the first file that is opened becomes the standard output, and is written into.
    """
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free: this one, because those below it are taken by now
            os.open(os.devnull, os.O_RDWR)
        stream = getattr(sys, name, None)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        if name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _what(error: Exception, known: tuple[type[Exception], ...]) -> str:
    if isinstance(error, known):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there must be memory enough, but it ran out; close other programs or ask for less"
    if isinstance(error, OSError) and error.errno in _GONE and error.filename is None:
        _drop("stdout")
        return f"what is written must be taken, but {error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        place = "a file" if error.filename is None else error.filename
        if error.errno == errno.ENAMETOOLONG:
            return f"{place} must be usable, but {error.strerror}; shorten it"
        return f"{place} must be usable, but {error.strerror}; check its name and its rights"
    what = f"{type(error).__name__}: {first_line(error)}"
    return f"{what[:300]}; this is a fault of hdap: {DEBUG}=1 shows where, please report it"


def _flushed(name: str) -> bool:
    """Whether everything was really written; what cannot be is given up, so that nothing hangs."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop("stdout")
    except (OSError, ValueError) as error:
        _drop("stdout")
        _say(name, f"what is written must be taken, but {getattr(error, 'strerror', error)}")
        return False
    return True


def _say(name: str, text: str) -> None:
    try:
        sys.stderr.write(f"{name}: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        _drop("stderr")


def _drop(name: str) -> None:
    """Let a stream lead nowhere, so that the interpreter does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STREAMS.index(name))
        os.close(nowhere)
