"""What a watch tells, each as a line for a person and as one JSON object."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hdap.fleet_data.ingest import IngestReport
from hdap.fleet_data.wording import counted
from hdap.workflows.detect_drift import Finding


@dataclass(frozen=True)
class IngestEvent:
    """A file whose rows are stored; `rejected` counts rows by reason."""

    source: str
    rows: int
    added: int
    known: int
    rejected: Mapping[str, int]
    rejected_path: str
    set_aside: int
    devices: int
    new_devices: int

    @classmethod
    def of(cls, report: IngestReport) -> "IngestEvent":
        """What a report says of its source."""
        path = report.rejected_path
        return cls(
            report.source,
            report.rows,
            report.added,
            report.known,
            report.rejected,
            "" if path is None else str(path),
            sum(each.rows for each in report.set_aside),
            report.devices,
            report.new_devices,
        )

    def __str__(self) -> str:
        told = f"{self.source}: {counted(self.added, 'row')} added of {self.rows:,}"
        if self.known:
            told += f", {self.known:,} already known"
        if self.rejected:
            most = next(iter(self.rejected))
            told += f", {sum(self.rejected.values()):,} rejected (most often {most})"
        if self.set_aside:
            told += f"; {self.set_aside:,} set aside: hdap status"
        return told


@dataclass(frozen=True)
class ProblemEvent:
    """A file that was not stored, or a place that could not be looked at (`source`)."""

    source: str
    says: str

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True)
class FindingEvent:
    """One of the rules of `hdap status` that asks for something to be done."""

    finding: Finding

    def __str__(self) -> str:
        return str(self.finding)


Event = IngestEvent | ProblemEvent | FindingEvent
_NAMES = {IngestEvent: "ingested", ProblemEvent: "problem", FindingEvent: "finding"}


def document(event: Event, at: datetime) -> dict[str, Any]:
    """The event as one JSON object."""
    fields = asdict(event.finding if isinstance(event, FindingEvent) else event)
    return {"event": _NAMES[type(event)], "at": at, **fields, "line": str(event)}
