"""What is said of a promise once it was measured; the only place where that is judged.

`hdap verify`, `hdap status`, the report, the API and JSON documents take their words from here.
The rule, in full. A promise holds where

* no cluster, and not the fleet, was measured a factor of 1.5 or more away from what was predicted,
  in either direction: such a prediction is of another machine or unit, and needs a refit;
* the fleet's measured mean is not above the upper end of its predicted interval;
* no cluster is more than 5 % above the upper end of its own predicted interval;
* both speed-ups, over uniform and over dense, lie above 95 % of what was promised with their whole
  interval;
* the measured clusters hold at least 90 % of the fleet's weight;
* of the other devices that measured, at least 80 % are within 10 % of their cluster.

What speaks against it refutes it, or leaves it not shown: measured too little to tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats, Ints, VerificationRecord
from hdap.fleet_data.wording import counted, interval, latency, percent, times
from hdap.surrogate.validation.calibration_check import missed, off_by

TOLERANCE = 0.05
COVERED = 0.9
SAMPLE_WITHIN = 0.10
SAMPLE_SHARE = 0.8

Conclusion = Literal["holds", "does not hold", "not shown"]
CheckState = Literal["as promised", "slower", "off", "not measured"]
SpeedUpState = Literal["holds", "refuted", "off", "not shown"]


@dataclass(frozen=True)
class Interval:
    """A figure with its 90 % interval (NaN where it cannot be known)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClusterCheck:
    """The found network on one cluster, or on the fleet (-1), ms; `measured` is NaN where no
    representative measured."""

    cluster: int
    devices: int
    predicted: Interval
    measured: Interval

    @property
    def state(self) -> CheckState:
        """How what was measured lies to what was predicted."""
        if not self.devices or not isfinite(self.measured.value):
            return "not measured"
        if missed(self.ratio):
            return "off"
        # the fleet's mean is what was promised; a single cluster may be a little above
        tolerance = TOLERANCE if self.cluster >= 0 else 0.0
        within = self.measured.value <= (1.0 + tolerance) * self.predicted.high
        return "as promised" if within else "slower"

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured.value / self.predicted.value

    @property
    def holds(self) -> bool:
        """Measured, and as promised."""
        return self.state == "as promised"

    @property
    def words(self) -> str:
        """What stands in a table: the state, and by which factor a prediction is off."""
        return f"off by {times(off_by(self.ratio))}" if self.state == "off" else self.state


@dataclass(frozen=True)
class SpeedUp:
    """How much faster the found network is than another: as promised and as measured."""

    over: str
    promised: float
    measured: Interval

    @property
    def state(self) -> SpeedUpState:
        """Against 95 % of the promise: above it with the whole interval, below it, or neither."""
        least = (1.0 - TOLERANCE) * self.promised
        if missed(self.measured.value / self.promised):
            return "off"
        if self.measured.low >= least:
            return "holds"
        return "refuted" if self.measured.high < least else "not shown"

    @property
    def words(self) -> str:
        """What stands in a table."""
        if self.state == "off":
            return f"off by {times(off_by(self.measured.value / self.promised))}"
        if self.state == "not shown" and not isfinite(self.measured.low):
            return "not shown: one device a cluster"
        return "as promised" if self.state == "holds" else self.state

    @property
    def reason(self) -> str:
        """Why it speaks against the promise; empty where it does not."""
        told = f"the speed-up over {self.over} is"
        measured, promised = times(self.measured.value), f"{times(self.promised)} promised"
        if self.state == "holds":
            return ""
        if self.state == "off":
            factor = times(off_by(self.measured.value / self.promised))
            return f"{told} off by {factor}: {measured} measured, {promised}"
        if not isfinite(self.measured.low):
            return (
                f"{told} not shown: {measured} measured, {promised}, but one device a cluster "
                "gives no interval"
            )
        ends = f"{self.measured.low:.2f}-{times(self.measured.high)}"
        return f"{told} {self.state}: {ends} measured, {promised}"


@dataclass(frozen=True)
class Sample:
    """Devices that are no representatives: how far each is from its cluster (relative)."""

    device: NDArray[np.object_]
    cluster: Ints
    deviation: Floats

    @property
    def agreeing(self) -> int:
        """Devices that behave as their cluster."""
        return int((np.abs(self.deviation) <= SAMPLE_WITHIN).sum())

    @property
    def holds(self) -> bool:
        """Whether enough of them do (nothing measured contradicts nothing)."""
        return self.agreeing >= SAMPLE_SHARE * len(self.device)


class Reason(NamedTuple):
    """One thing that speaks against a promise; it refutes it, or only shows too little."""

    text: str
    refutes: bool


@dataclass(frozen=True)
class Verdict:
    """All that was checked; `reasons` say what speaks against the promise."""

    clusters: tuple[ClusterCheck, ...]
    fleet: ClusterCheck
    covered: float
    speed_ups: tuple[SpeedUp, ...]
    sample: Sample

    @property
    def off(self) -> bool:
        """Whether predictions missed by a factor, so that a refit comes before all else."""
        states = [c.state for c in (*self.clusters, self.fleet)] + [u.state for u in self.speed_ups]
        return "off" in states

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the promise does not hold, or is not shown to; empty where it holds."""
        return tuple(reason.text for reason in self._against)

    @property
    def conclusion(self) -> Conclusion:
        """Whether the promise holds, is refuted, or is not shown to hold."""
        if not self._against:
            return "holds"
        refuted = any(reason.refutes for reason in self._against)
        return "does not hold" if refuted else "not shown"

    @property
    def holds(self) -> bool:
        """Whether the promise holds."""
        return self.conclusion == "holds"

    @property
    def _against(self) -> tuple[Reason, ...]:
        found = [*_of_checks(self.clusters, self.fleet)]
        if self.covered < COVERED:
            told = f"only {percent(self.covered, 0)} of the fleet's weight was measured"
            found.append(Reason(told, False))
        for up in self.speed_ups:
            if up.reason:
                found.append(Reason(up.reason, up.state != "not shown"))
        if not self.sample.holds:
            devices = counted(len(self.sample.device), "other device")
            told = f"only {self.sample.agreeing} of {devices} behave as their cluster"
            found.append(Reason(f"{told}: cluster again", True))
        return tuple(found)


@dataclass(frozen=True)
class StoredVerdict:
    """What is stored of a trial's verification: its clusters, and whether it was found to hold."""

    number: int
    clusters: tuple[ClusterCheck, ...]
    kept: bool
    simulated: bool
    created_at: datetime

    @property
    def conclusion(self) -> Conclusion:
        """As `Verdict.conclusion`; what was stored by an older rule is judged by this one."""
        if any(reason.refutes for reason in _of_checks(self.clusters)):
            return "does not hold"
        return "holds" if self.kept else "not shown"

    @property
    def off(self) -> bool:
        """As `Verdict.off`, of latencies."""
        return any(check.state == "off" for check in self.clusters)

    @property
    def words(self) -> str:
        """`does not hold (measured): predictions are off by 2.60x (cluster 0, ...)`."""
        reasons = [reason.text for reason in _of_checks(self.clusters)]
        told = f"{self.conclusion} ({'simulated' if self.simulated else 'measured'})"
        return ": ".join([told, *reasons[:1]])


def stored_verdicts(records: Iterable[VerificationRecord]) -> tuple[StoredVerdict, ...]:
    """The verdict on each trial of a study, by its number."""
    ordered = sorted(records, key=lambda r: (r.number, r.cluster))
    return tuple(
        _stored(number, tuple(rows)) for number, rows in groupby(ordered, lambda r: r.number)
    )


def _stored(number: int, rows: tuple[VerificationRecord, ...]) -> StoredVerdict:
    checks = tuple(
        ClusterCheck(
            r.cluster,
            r.devices,
            Interval(r.predicted_ms, r.predicted_low_ms, r.predicted_high_ms),
            Interval(r.measured_ms, r.measured_low_ms, r.measured_high_ms),
        )
        for r in rows
    )
    return StoredVerdict(number, checks, rows[0].trial_holds, rows[0].simulated, rows[0].created_at)


def _of_checks(
    clusters: tuple[ClusterCheck, ...], fleet: ClusterCheck | None = None
) -> list[Reason]:
    """What latencies say against a promise, the gravest first."""
    checks = [*([] if fleet is None else [fleet]), *clusters]
    far = [c for c in checks if c.state == "off"]
    found = []
    if far:
        worst = max(far, key=lambda c: off_by(c.ratio))
        found.append(
            Reason(
                f"predictions are off by {times(off_by(worst.ratio))} ({_where(worst)}, "
                f"{latency(worst.predicted.value)} predicted, "
                f"{latency(worst.measured.value)} measured): refit",
                True,
            )
        )
    if fleet is not None and fleet.state == "slower":
        ends = interval(fleet.predicted.low, fleet.predicted.high)
        found.append(Reason(f"the fleet mean is above its predicted interval of {ends} ms", True))
    slower = [c for c in clusters if c.state == "slower"]
    found += [Reason(f"cluster {c.cluster} is slower than promised", True) for c in slower]
    return found


def _where(check: ClusterCheck) -> str:
    return "fleet mean" if check.cluster < 0 else f"cluster {check.cluster}"
