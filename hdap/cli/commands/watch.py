"""`hdap watch`: telemetry as it keeps coming, and what it says of the fleet."""

import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hdap.cli.settings.fleet_commands import WatchCommand
from hdap.cli.terminal.open_store import open_store, tell_simulated
from hdap.cli.terminal.output import emit_event, line, out, say, warn
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.extras import require
from hdap.fleet_data.ingest.byte_source import STANDARD_INPUT
from hdap.fleet_data.ingest.source_files import source_of
from hdap.fleet_data.wording import counted
from hdap.workflows.stream_batches import StreamBatches
from hdap.workflows.watch_events import Event, ProblemEvent, document
from hdap.workflows.watch_fleet import FleetWatch, check_place

if TYPE_CHECKING:
    from hdap.workflows.watch_metrics import WatchMetrics

ASKS = 3
"""Exit status of --once where a finding asks for something; 1 and 2 are every command's."""


def run(asked: WatchCommand) -> None:
    """Watch until a signal, the end of the stream, or once."""
    metrics = _metrics(asked)
    place = source_of(asked.place)
    if place != STANDARD_INPUT:
        check_place(place)
    with open_store(asked.db) as store, _ended_by_signals() as ended:
        watch = FleetWatch(store, asked.request, say, asked.rest)
        teller = _Teller(asked, watch, metrics)
        if place == STANDARD_INPUT:
            _follow_stream(asked, watch, teller, ended)
        else:
            _follow_place(asked, watch, teller, ended, place)
    if asked.once:
        raise typer.Exit(1 if teller.problems else ASKS if watch.open_findings else 0)


def _follow_place(
    asked: WatchCommand,
    watch: FleetWatch,
    teller: "_Teller",
    ended: threading.Event,
    place: Path | str,
) -> None:
    while not ended.is_set():
        try:
            for event in watch.look(place):
                teller.tell(event)
                if ended.is_set():
                    break
        except HdapError as error:
            if asked.once:
                raise
            # a server that restarts, a network that comes back: the next look finds out
            teller.tell(ProblemEvent(str(place), str(error)))
        teller.looked()
        if asked.once:
            return
        ended.wait(asked.every)


def _follow_stream(
    asked: WatchCommand, watch: FleetWatch, teller: "_Teller", ended: threading.Event
) -> None:
    if sys.stdin is None:
        raise InputError("standard input must be open, but it is closed: name a folder")
    with tempfile.TemporaryDirectory(prefix="hdap-watch-") as folder:
        batches = StreamBatches(sys.stdin.fileno(), Path(folder), asked.every, ended.is_set)
        for batch in batches:
            teller.tell(watch.take_batch(batch))
            batch.unlink()
            for event in watch.judge():
                teller.tell(event)
            teller.looked()


class _Teller:
    """Prints events and counts them."""

    def __init__(
        self, asked: WatchCommand, watch: FleetWatch, metrics: "WatchMetrics | None"
    ) -> None:
        self._asked, self._watch, self._metrics = asked, watch, metrics
        self.problems = 0

    def tell(self, event: Event) -> None:
        """One event, at once."""
        now = datetime.now(UTC)
        self.problems += isinstance(event, ProblemEvent)
        tell_simulated(self._watch.store)
        if self._asked.as_json:
            emit_event(document(event, now))
        else:
            line(f"{now:%Y-%m-%d %H:%M:%S} {event}")
            out().file.flush()
        if self._metrics is not None:
            self._metrics.count(event)

    def looked(self) -> None:
        """All that is new was taken and judged."""
        if self._watch.waiting:
            say(f"{counted(self._watch.waiting, 'file')} still being written: left for now")
        if self._metrics is None:
            return
        try:
            self._metrics.looked(self._watch)
            if self._asked.metrics_file is not None:
                self._metrics.write(self._asked.metrics_file)
        except HdapError as error:
            warn(str(error))


def _metrics(asked: WatchCommand) -> "WatchMetrics | None":
    if asked.metrics_port is None and asked.metrics_file is None:
        return None
    require("watch")
    from hdap.workflows.watch_metrics import WatchMetrics

    metrics = WatchMetrics()
    if asked.metrics_port is not None:
        port = metrics.serve(asked.metrics_host, asked.metrics_port)
        say(f"metrics: http://{asked.metrics_host}:{port}/metrics")
    return metrics


@contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Set by SIGTERM and Ctrl-C; a second one of either stops at once."""
    ended = threading.Event()

    def end(number: int, _: object) -> None:
        ended.set()
        signal.signal(number, before[number])

    before = {int(n): signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
