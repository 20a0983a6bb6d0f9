"""Who runs which network now: what was stored, and what the telemetry since says of it."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdap.clustering.refresh import refreshed
from hdap.fleet_data.atomic_files import replace_file
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import AssignmentBatch, Bools, Floats, Ints, StudyRecord
from hdap.fleet_data.software import kernels_of
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import kept, latency, percent, times
from hdap.requests.search_request import request_of
from hdap.search.sizes.assignment import reassign
from hdap.search.sizes.sizes_problem import SizesProblem
from hdap.surrogate.models.base import Prediction
from hdap.workflows.build_problem import stored_problem
from hdap.workflows.search_sizes import assignment_batch, sizes_problem

COLUMNS = (
    "device_id",
    "trial",
    "trial_before",
    "predicted_ms",
    "probability_in_time",
    "in_time",
    "runtime",
    "precision",
)


@dataclass(frozen=True)
class Assigned:
    """The devices of a study as they should run now, beside what is stored of them.

    `numbers` (m) are the trials that the fleet runs, those that keep most first, `kept` (m) their
    kept importance and `seen` (m x K) their latencies. `now` (D) is who should run what, `moved`
    (D) whose network changes by that, `new` (D) who had none yet. `silent` names devices that are
    in no cluster and sent nothing to place them by; `kernels` says of each device what runtime and
    precision its network is to be exported for ("" where it never said).
    """

    record: StudyRecord
    asked: SizesProblem
    numbers: Ints
    kept: Floats
    seen: Prediction
    now: AssignmentBatch
    moved: Bools
    new: Bools
    silent: tuple[str, ...]
    kernels: Mapping[str, tuple[str, str]]

    def made_for(self, number: int) -> dict[tuple[str, str], int]:
        """How many devices run a trial in each runtime and precision, most first."""
        ids = self.now.device_ids[self.now.number == number]
        return dict(Counter(self.kernels[str(name)] for name in ids).most_common())

    @property
    def smaller(self) -> int:
        """How many devices move to a network that keeps less."""
        before, after = (self._kept(x) for x in (self.now.number_before, self.now.number))
        return int((self.moved & (after < before)).sum())

    def _kept(self, number: Ints) -> Floats:
        place = {int(n): k for n, k in zip(self.numbers, self.kept, strict=True)}
        return np.array([place[int(n)] for n in number])


def sized_study(store: Store, name: str | None) -> StudyRecord:
    """The study of several networks of that name, or the newest.

    Raises NotFoundError where there is none, InputError where it is of one network.
    """
    if name is not None:
        record = store.study(name)
        if request_of(record).networks is None:
            raise InputError(
                f"devices are assigned to the networks of a study of several, but {record.name} "
                f"looked for one: hdap search --model {record.model} --latency 20ms --networks auto"
            )
        return record
    for record in reversed(store.studies()):
        if request_of(record).networks is not None:
            return record
    raise NotFoundError(
        "no study has several networks that devices could be assigned to: hdap search --model "
        "MODEL --latency 20ms --networks auto"
    )


def assign_devices(store: Store, record: StudyRecord) -> Assigned:
    """What the newest telemetry says of who runs what; nothing is stored of it."""
    stored = store.assignments(record.id)
    problem, _ = stored_problem(store, record)
    clustering = store.clustering(record.clustering_id)
    measurements, fresh = store.measurements_since(clustering.measurement_mark)
    if fresh:
        clustering = refreshed(clustering, measurements, fresh)
    asked = sizes_problem(store, request_of(record), problem, clustering)
    trials = store.trials(record.id)
    trials = trials.take(np.isin(trials.number, stored.number))
    trials = trials.take(np.argsort(-trials.kept_importance, kind="stable"))
    seen = problem.latency.predict(trials.counts)
    ids = asked.devices.ids.astype(str)
    known = dict(zip(stored.device_ids.astype(str), stored.number.tolist(), strict=True))
    row_of = {int(n): i for i, n in enumerate(trials.number)}
    now = np.array([row_of.get(known.get(name, -1), -1) for name in ids], dtype=np.int64)
    found = reassign(
        asked.devices, seen, trials.kept_importance, asked.deadline_ms, asked.confidence, now
    )
    new = now < 0
    number = trials.number[found.row]
    before = np.where(new, number, trials.number[now])
    silent = np.setdiff1d(store.devices().ids.astype(str), ids)
    return Assigned(
        record,
        asked,
        trials.number,
        trials.kept_importance,
        seen,
        assignment_batch(asked, found, number, before),
        ~new & (number != before),
        new,
        tuple(silent.tolist()),
        {
            str(name): kernels_of(text)
            for name, text in zip(clustering.device_ids, clustering.software, strict=True)
        },
    )


def reason(assigned: Assigned, device: str) -> list[str]:
    """Why a device runs what it runs, in lines for a person. Raises NotFoundError."""
    devices, asked = assigned.asked.devices, assigned.asked
    found = np.flatnonzero(devices.ids.astype(str) == device)
    if not len(found):
        raise NotFoundError(_unplaced(assigned, device))
    row = int(found[0])
    cluster = int(devices.cluster[row])
    factor, doubt = float(np.exp(devices.log_factor[row])), float(devices.log_sd[row])
    lines = [
        f"{device} takes {times(factor)} as long as what is typical of cluster {cluster}, give or "
        f"take {percent(doubt)}"
    ]
    chosen = int(assigned.now.number[row])
    for place, number in enumerate(assigned.numbers.tolist()):
        sure = float(devices.probabilities(assigned.seen, place, asked.deadline_ms)[row])
        ms = float(np.exp(assigned.seen.log_ms[place, cluster])) * factor
        told = (
            f"trial {number} keeps {kept(assigned.kept[place])}: predicted {latency(ms)}, "
            f"{percent(sure, 0)} sure within {asked.deadline_ms:g} ms"
        )
        lines.append(f"{told}: runs this" if number == chosen else told)
    if not assigned.now.in_time[row]:
        lines.append(f"none is in time as surely as asked ({percent(asked.confidence, 0)})")
    if assigned.moved[row]:
        lines.append(f"it ran trial {int(assigned.now.number_before[row])} until now")
    return lines


def write_assignments(
    batch: AssignmentBatch, kernels: Mapping[str, tuple[str, str]], out: Path
) -> None:
    """A CSV for whatever updates the devices, a line a device; it appears whole."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    told = [kernels.get(str(name), ("", "")) for name in batch.device_ids]
    rows.writerows(
        zip(
            batch.device_ids.tolist(),
            batch.number.tolist(),
            batch.number_before.tolist(),
            np.round(batch.latency_ms, 4).tolist(),
            np.round(batch.probability_in_time, 4).tolist(),
            np.where(batch.in_time, "yes", "no").tolist(),
            [runtime for runtime, _ in told],
            [precision for _, precision in told],
            strict=True,
        )
    )
    replace_file(out, text.getvalue().encode())


def _unplaced(assigned: Assigned, device: str) -> str:
    if device in assigned.silent:
        return (
            f"{device} must have sent a latency of the dense model before it can be assigned, but "
            f"none that tells its speed is stored: hdap ingest its telemetry"
        )
    return f"no device {device!r} in the store: hdap devices lists them"
