"""A stream of lines that may never end, as whole files that an ingest takes."""

import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hdap.fleet_data.errors import InputError

MOST_BYTES = 32 * 2**20
"""Of one batch: some 300,000 rows, which take seconds to ingest and little memory."""
_POLL_S = 0.2
_CHUNK = 2**16


@dataclass
class StreamBatches:
    """CSV with a header, or JSON lines, a row a line; each batch begins with the header.

    A batch is written into `folder` when its first line is `every_s` seconds old, when it is large,
    when the stream ends, or `stopped` says so: then what came is the last one. Of a stream that is
    stopped a line that has not ended is left out: half a number would be another one.
    """

    descriptor: int
    folder: Path
    every_s: float
    stopped: Callable[[], bool]
    _header: bytes = b""
    _json: bool | None = None
    _waiting: bytearray = field(default_factory=bytearray)

    def __iter__(self) -> Iterator[Path]:
        number, began, over = 0, 0.0, False
        while not over:
            chunk = self._read()
            ended = chunk == b""
            over = ended or self.stopped()
            if chunk:
                began = began if self._waiting else time.monotonic()
                self._waiting += chunk
            due = self._waiting and time.monotonic() - began >= self.every_s
            if over or due or len(self._waiting) >= MOST_BYTES:
                body = self._lines(last=ended)
                if body:
                    number += 1
                    yield self._written(number, body)

    def _read(self) -> bytes | None:
        """What came, empty at the end; None where nothing came for a moment."""
        ready, _, _ = select.select([self.descriptor], [], [], _POLL_S)
        return os.read(self.descriptor, _CHUNK) if ready else None

    def _lines(self, *, last: bool) -> bytes:
        """The whole lines that wait, less the header; the rest waits on unless this is the last."""
        end = len(self._waiting) if last else self._waiting.rfind(b"\n") + 1
        if not end and len(self._waiting) >= MOST_BYTES:
            raise InputError(
                f"a stream must be of lines, but {MOST_BYTES >> 20} MiB came without an end of one"
            )
        body = bytes(self._waiting[:end])
        del self._waiting[:end]
        if self._json is None and body.strip():
            body = body.lstrip(b"\xef\xbb\xbf\r\n ")
            self._json = body.startswith(b"{")
            if not self._json:
                header, _, body = body.partition(b"\n")
                self._header = header + b"\n"
        return body if body.strip() else b""

    def _written(self, number: int, body: bytes) -> Path:
        path = self.folder / f"stdin-{number}.{'jsonl' if self._json else 'csv'}"
        path.write_bytes(self._header + body)
        return path
