"""What a watch counts, as Prometheus reads it: over HTTP, or from a file (textfile collector)."""

import os
import time
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    start_http_server,
    write_to_textfile,
)

from hdap.fleet_data.atomic_files import writable
from hdap.fleet_data.errors import InputError
from hdap.workflows.artifacts import latest_clustering
from hdap.workflows.watch_events import Event, IngestEvent, ProblemEvent
from hdap.workflows.watch_fleet import FleetWatch

ACTIONS = ("cluster again", "measure again", "fit again", "search again")


class WatchMetrics:
    """Counters of this process, and gauges of the last look."""

    def __init__(self) -> None:
        self.registry = all_of = CollectorRegistry()
        self._rows = Counter("hdap_rows", "Rows by what became of them", ["fate"], registry=all_of)
        self._files = Counter("hdap_files", "Files by what became", ["fate"], registry=all_of)
        self._looked = Gauge("hdap_last_look_timestamp_seconds", "Last look", registry=all_of)
        self._waiting = Gauge("hdap_files_waiting", "Files being written", registry=all_of)
        self._devices = Gauge("hdap_devices", "Devices in the database", registry=all_of)
        self._clusters = Gauge("hdap_clusters", "Clusters of the newest", registry=all_of)
        self._findings = Gauge(
            "hdap_findings", "Findings that ask for this", ["action"], registry=all_of
        )
        for fate in ("added", "known", "rejected"):
            self._rows.labels(fate)
        for fate in ("ingested", "refused"):
            self._files.labels(fate)

    def count(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, IngestEvent):
            self._files.labels("ingested").inc()
            self._rows.labels("added").inc(event.added)
            self._rows.labels("known").inc(event.known)
            self._rows.labels("rejected").inc(sum(event.rejected.values()))
        elif isinstance(event, ProblemEvent):
            self._files.labels("refused").inc()

    def looked(self, watch: FleetWatch) -> None:
        """Take in what there is after a look."""
        clustering = latest_clustering(watch.store)
        self._waiting.set(watch.waiting)
        self._devices.set(len(watch.store.devices().ids))
        self._clusters.set(0 if clustering is None else len(clustering.clusters))
        for action in ACTIONS:
            asked = [f for f in watch.open_findings if f.action == action]
            self._findings.labels(action).set(len(asked))
        self._looked.set(time.time())

    def write(self, path: Path) -> None:
        """Write all into a file, which appears whole. Raises InputError."""
        with writable(path):
            write_to_textfile(os.fspath(path), self.registry)

    def serve(self, host: str, port: int) -> int:
        """Answer /metrics until the process ends; the port. Raises InputError."""
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            raise InputError(
                f"`--metrics-port` must be free on {host}, but {error.strerror}: give another"
            ) from error
        return int(server.server_port)
