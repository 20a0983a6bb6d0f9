"""One look at a place where telemetry arrives: what is new is ingested, then judged."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import HdapError, InputError, StoreError
from hdap.fleet_data.ingest.object_store import find_object, is_object
from hdap.fleet_data.ingest.source_files import SourceFile, files_in, source_of
from hdap.fleet_data.store import Store
from hdap.requests.ingest_request import IngestRequest
from hdap.workflows.artifacts import latest_clustering
from hdap.workflows.detect_drift import Finding, findings
from hdap.workflows.ingest_as_asked import as_asked
from hdap.workflows.watch_events import Event, FindingEvent, IngestEvent, ProblemEvent


def check_place(place: Path | str) -> None:
    """Raises InputError where a place is neither a folder nor a prefix."""
    if is_object(place):
        if find_object(str(place)) is not None:
            raise InputError(f"a watch must be of a prefix, {place} is one object: hdap ingest it")
    elif not Path(place).is_dir():
        raise InputError(
            f"a watch must be of a folder, a prefix (s3://bucket/prefix/) or -, and {place} is "
            "none: make the folder, or hdap ingest the file"
        )


@dataclass
class FleetWatch:
    """Remembers what it saw: a file is ingested once, and once more when it is written anew.

    Which version of a file was ingested is stored with the ingest, so another process, or this one
    after a restart, does not read it again; one that was refused is told once a process. A file
    that was written to in the last `rest_s` seconds is left for the next look. `waiting` counts
    those of the last look, `open_findings` are what its rules asked for.
    """

    store: Store
    request: IngestRequest
    say: Say
    rest_s: float
    waiting: int = 0
    open_findings: tuple[Finding, ...] = ()
    _refused: dict[str, str] = field(default_factory=dict)
    _told: frozenset[Finding] = frozenset()
    _judged: tuple[int, int | None] = (-1, None)

    def look(self, place: Path | str) -> Iterator[Event]:
        """Ingest what is new in a folder or prefix, file by file, then judge. Raises HdapError."""
        files, known = files_in(place), self.store.ingested_versions()
        new = [f for f in files if f.version not in (known.get(f.name), self._refused.get(f.name))]
        rested = [f for f in new if time.time() - f.written_at >= self.rest_s]
        self.waiting = len(new) - len(rested)
        for file in rested:
            yield self.take(file)
        yield from self.judge()

    def take(self, file: SourceFile) -> Event:
        """Ingest one file. Raises StoreError; of a file that is refused the event tells."""
        event = self._ingest(file.name, version=file.version)
        if isinstance(event, ProblemEvent):
            self._refused[file.name] = file.version
        return event

    def take_batch(self, batch: Path) -> Event:
        """Ingest a part of standard input, whose rejected rows are listed in a file of its own in
        this folder. Raises StoreError."""
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        rejects = Path(f"stdin-{at}-{batch.stem.rpartition('-')[2]}.rejected.csv")
        try:
            return self._ingest(str(batch), rejected_path=rejects, called="standard input")
        except StoreError as error:
            kept = Path(f"stdin-{at}-{batch.name}")
            shutil.copyfile(batch, kept)
            raise StoreError(
                f"{error}; the rows that came are in {kept}: hdap ingest it"
            ) from error

    def _ingest(self, name: str, **more: Any) -> Event:
        try:
            report = as_asked(self.request, self.say)(self.store, source_of(name), **more)
        except StoreError:
            raise
        except HdapError as error:
            printable = name.encode("utf-8", "backslashreplace").decode()
            return ProblemEvent(more.get("called", printable), str(error))
        return IngestEvent.of(report)

    def judge(self) -> Iterator[Event]:
        """Apply the rules of `hdap status` where rows or a clustering came since the last time;
        what they ask for is told when it is new."""
        clustering = latest_clustering(self.store)
        now = (self.store.measurement_mark(), None if clustering is None else clustering.id)
        if now == self._judged:
            return
        found: tuple[Finding, ...] = ()
        if clustering is not None:
            found = findings(self.store, clustering, self.store.measured_models())
        self._judged = now
        self.open_findings = tuple(f for f in found if f.action != "nothing")
        yield from (FindingEvent(f) for f in self.open_findings if f not in self._told)
        self._told = frozenset(self.open_findings)
