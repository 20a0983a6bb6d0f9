"""`compression.json`: what was asked and which steps are done. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hdap.fleet_data.documents import JsonDocument, read_document, write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import CompressionStepRecord
from hdap.requests.compression_request import CompressRequest

FILE = "compression.json"


@dataclass(frozen=True)
class StepEntry:
    """A step whose network was chosen; it is done when `accuracy_after` is known.

    Accuracies are on the guard's images. `tried` are the trials that were pruned and judged, best
    predicted first, with their accuracies; the last passed. Latencies are predicted, ms.
    """

    step: int
    study: str
    trial: int
    flops: int
    predicted_ms: float
    predicted_low_ms: float
    predicted_high_ms: float
    dense_ms: float
    accuracy_before: float
    accuracy_pruned: float
    tried: Mapping[str, float] = field(default_factory=dict)
    accuracy_after: float | None = None
    validation_accuracy: float | None = None

    @property
    def done(self) -> bool:
        """Whether it was tuned."""
        return self.accuracy_after is not None


@dataclass(frozen=True)
class Journal(JsonDocument):
    """A compression under way; `simulated`: its predictions rest on simulated measurements."""

    WHAT = "the journal of a compression"
    REMEDY = "begin anew in another --out"
    FORMAT = 1

    run: str
    request: CompressRequest
    simulated: bool
    database: str
    accuracy_dense: float
    steps: tuple[StepEntry, ...] = ()

    @property
    def done(self) -> int:
        """How many steps are complete."""
        return sum(step.done for step in self.steps)

    def with_step(self, entry: StepEntry) -> "Journal":
        """The journal with this step, in place of an earlier entry of it."""
        others = tuple(step for step in self.steps if step.step != entry.step)
        return replace(self, steps=(*others, entry))

    def record(self, entry: StepEntry, checkpoint: Path) -> CompressionStepRecord:
        """A step that is done, as the store keeps it."""
        return CompressionStepRecord(
            run=self.run,
            step=entry.step,
            checkpoint=str(checkpoint),
            model=self.request.model,
            study=entry.study,
            trial=entry.trial,
            flops=entry.flops,
            predicted_ms=entry.predicted_ms,
            predicted_low_ms=entry.predicted_low_ms,
            predicted_high_ms=entry.predicted_high_ms,
            accuracy_before=entry.accuracy_before,
            accuracy_pruned=entry.accuracy_pruned,
            accuracy_after=math.nan if entry.accuracy_after is None else entry.accuracy_after,
            simulated=self.simulated,
            created_at=datetime.now(UTC),
        )

    def write(self, folder: Path) -> None:
        """Put it into `folder`, whole or not at all. Raises `InputError` when it cannot."""
        write_document(folder / FILE, self)


def read_journal(folder: Path) -> Journal | None:
    """The journal in `folder`, None where there is none. Raises `InputError` when it is damaged."""
    return read_document(folder / FILE, Journal) if (folder / FILE).is_file() else None


def require_same(journal: Journal, request: CompressRequest) -> None:
    """Raises `InputError` where the journal is of another request, naming what differs."""
    for name, value in asdict(request).items():
        begun = asdict(journal.request)[name]
        if begun != value:
            raise InputError(
                f"a compression goes on as it began, with {name}={begun!r}, but got {value!r}; "
                "give the same options or begin anew in another --out"
            )
