"""`compression.json`: what was asked and which steps are done. No torch here."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hdap.fleet_data.atomic_files import writable, write_file
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import CompressionStepRecord
from hdap.requests.compression_request import CompressRequest

FILE = "compression.json"
FORMAT = 1


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
class Journal:
    """A compression under way; `simulated`: its predictions rest on simulated measurements."""

    run: str
    request: Mapping[str, Any]
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
            model=str(self.request["model"]),
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
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / f".{FILE}", content.encode())
            (folder / f".{FILE}").replace(folder / FILE)


def read_journal(folder: Path) -> Journal | None:
    """The journal in `folder`, None where there is none. Raises `InputError` when it is damaged."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        if raw.pop("format") != FORMAT:
            raise ValueError("it has another format")
        steps = tuple(StepEntry(**step) for step in raw.pop("steps"))
        return Journal(steps=steps, **raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{file} must be the journal of a compression, but reading it failed ({error}); "
            "begin anew in another --out"
        ) from error


def require_same(journal: Journal, request: CompressRequest) -> None:
    """Raises `InputError` where the journal is of another request, naming what differs."""
    asked = request.to_plain()
    for name, value in asked.items():
        begun = journal.request.get(name)
        if begun != value:
            raise InputError(
                f"a compression goes on as it began, with {name}={begun!r}, but got {value!r}; "
                "give the same options or begin anew in another --out"
            )
