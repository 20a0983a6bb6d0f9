"""Standard output and error of which somebody may stop reading: `hdap devices | head -1`.

That is no failure, and no reason to leave work half done: what is written from then on goes nowhere
and the command ends as it would have.
"""

import os
import sys
from typing import IO

from rich.console import Console


def outlive_readers() -> None:
    """All consoles of this program go on when nobody reads them any more, also the one on which
    typer prints its help: rich would end the program with status 1, whatever it was about to do."""
    Console.on_broken_pipe = _go_on  # type: ignore[method-assign]


def _go_on(self: Console) -> None:
    nobody_reads(self.file)


def nobody_reads(stream: IO[str]) -> None:
    """Let a stream lead nowhere, also for what waits in its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def write(text: str) -> None:
    """Text for machines on standard output, as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads(sys.stdout)
