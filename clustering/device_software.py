"""What each device runs: the software of its newest everyday row, and which rows are of that.

A change of runtime, precision, threads or firmware makes another state of the device, and rows of
two states are never mixed. Everyday rows come first, because a device may measure a bundle with
other software than the one that it serves with. What a row does not say contradicts nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.grouping import compact
from hdap.fleet_data.records import Bools, Floats, Ints, Measurements, TextColumn
from hdap.fleet_data.software import format_software, parse_software, show_software
from hdap.fleet_data.telemetry import SOFTWARE

Texts = NDArray[np.object_]


def current_software(measurements: Measurements) -> Texts:
    """What each of D devices runs (`format_software`; "": nobody said).

    Column by column, runtime first, among the rows that agree so far: the newest everyday row that
    says it, else the newest row; of rows without a time the one that came last.
    """
    devices = len(measurements.devices.ids)
    fitting = np.ones(len(measurements), dtype=np.bool_)
    state, found = np.zeros(devices, dtype=np.int64), list[tuple[str, Ints, tuple[str, ...]]]()
    for name, column in _columns(measurements).items():
        said = _said(column)
        known = fitting & said[column.codes]
        code = _only_code(measurements.device, column.codes, known, devices)
        several = np.flatnonzero(code == _SEVERAL)
        if len(several):
            rows = np.flatnonzero(known & (code == _SEVERAL)[measurements.device])
            time = np.nan_to_num(measurements.measured_at[rows], nan=-np.inf)
            rows = rows[np.lexsort((rows, time, measurements.everyday[rows]))]
            # Of several values for one device the last one stays.
            code[measurements.device[rows]] = column.codes[rows]
            own = code[measurements.device]
            fitting &= (own == column.codes) | ~said[column.codes] | (own == _UNKNOWN)
        found.append((name, code, column.texts))
        state, _ = compact(state * (len(column.texts) + 1) + code + 1)
    return _texts(state, found)


def runs_current(measurements: Measurements, software: Texts) -> Bools:
    """Which rows (n) contradict nothing of what their device runs (`software`, D)."""
    fitting = np.ones(len(measurements), dtype=np.bool_)
    told = software_columns(software)
    for name, column in _columns(measurements).items():
        if name not in told:
            continue
        place = {text: code for code, text in enumerate(column.texts) if text}
        # A text that no row has is another one, and unknown is none.
        codes = [place.get(text, _OTHER) if text else _UNKNOWN for text in told[name].texts]
        said = _said(column)
        if said.sum() == 1 and set(codes) <= {_UNKNOWN, int(said.argmax())}:
            # What all say that say anything needs no look at millions of rows.
            continue
        own = np.array(codes, dtype=np.int64)[told[name].codes][measurements.device]
        fitting &= (own == column.codes) | (own == _UNKNOWN) | ~said[column.codes]
    return fitting


@dataclass(frozen=True)
class SoftwareHistory:
    """Of D devices: what each ran `before` what it runs (`format_software`; "": no everyday row
    says that it was anything else), and the time of its first everyday row `since` (NaN: no
    change, or no times)."""

    before: Texts
    since: Floats

    @property
    def changed(self) -> Bools:
        """Which devices were seen to change."""
        return np.asarray(self.before != "", dtype=np.bool_)


def software_history(measurements: Measurements, software: Texts) -> SoftwareHistory:
    """When what each device runs (`software`, D) began, and what it ran until then.

    A bundle measured with another runtime is no change: only everyday rows count.
    """
    devices = len(software)
    nothing = SoftwareHistory(np.full(devices, "", dtype=object), np.full(devices, np.nan))
    now = runs_current(measurements, software)
    if now.all():
        return nothing
    usual, times = measurements.everyday, measurements.measured_at
    last = np.full(devices, -np.inf)
    old = np.flatnonzero(usual & ~now)
    # Without a time the order of the rows tells what came last.
    old = old[np.argsort(np.nan_to_num(times[old], nan=-np.inf), kind="stable")]
    row = np.full(devices, -1, dtype=np.int64)
    row[measurements.device[old]] = old
    last[measurements.device[old]] = times[old]
    later = np.flatnonzero(usual & now & (times > last[measurements.device]))
    since = np.full(devices, np.inf)
    np.minimum.at(since, measurements.device[later], times[later])
    since[(row < 0) | np.isinf(since)] = np.nan
    before = nothing.before.copy()
    for device in np.flatnonzero(row >= 0).tolist():
        before[device] = _of_row(measurements, int(row[device]))
    return SoftwareHistory(before, since)


def contradicts(before: str, now: str) -> bool:
    """Whether two pieces of software as text differ in a column that both know."""
    was, runs = parse_software(before), parse_software(now)
    return any(was[name] != runs[name] for name in was.keys() & runs.keys())


def _of_row(measurements: Measurements, row: int) -> str:
    columns = _columns(measurements)
    return format_software({name: c.texts[c.codes[row]] for name, c in columns.items()})


def software_columns(software: Texts) -> dict[str, TextColumn]:
    """The columns of D devices' software that anybody said."""
    texts = dict.fromkeys(software.tolist())
    place = {text: number for number, text in enumerate(texts)}
    number = np.array([place[text] for text in software.tolist()], dtype=np.int64)
    known = [parse_software(text) for text in texts]
    found = {}
    for name in SOFTWARE:
        values = [row.get(name, "") for row in known]
        if any(values):
            found[name] = TextColumn.of(values).at(number)
    return found


def software_note(measurements: Measurements, software: Texts) -> str:
    """Which rows are of software that their device runs no more, in words; "" where none is."""
    old = ~runs_current(measurements, software)
    if not old.any():
        return ""
    devices = np.unique(measurements.device[old])
    first = int(devices[0])
    was = _of_row(measurements, int(np.flatnonzero(old & (measurements.device == first))[-1]))
    return (
        f"{int(old.sum()):,} rows of {len(devices):,} devices are of other software than they run "
        f"now and describe them no more ({measurements.devices.ids[first]}: "
        f"{show_software(was)}, now {show_software(software[first])})"
    )


_UNKNOWN, _SEVERAL, _OTHER = -1, -2, -3


def _columns(measurements: Measurements) -> dict[str, TextColumn]:
    """Software columns in which rows can contradict each other or say something."""
    every = {"runtime": TextColumn(measurements.runtime, measurements.runtimes)}
    every |= measurements.software
    return {name: every[name] for name in SOFTWARE if name in every and any(every[name].texts)}


def _said(column: TextColumn) -> Bools:
    return np.array([bool(text) for text in column.texts], dtype=np.bool_)


def _only_code(device: Ints, codes: Ints, known: Bools, devices: int) -> Ints:
    """The one code of each device's known rows; _UNKNOWN without such, _SEVERAL where they vary."""
    if known.all() and codes.min(initial=0) == codes.max(initial=0):
        seen = np.bincount(device, minlength=devices) > 0
        return np.where(seen, codes[0] if len(codes) else _UNKNOWN, _UNKNOWN)
    low = np.full(devices, np.iinfo(np.int64).max)
    high = np.full(devices, _UNKNOWN)
    np.minimum.at(low, device[known], codes[known])
    np.maximum.at(high, device[known], codes[known])
    return np.where(high == _UNKNOWN, _UNKNOWN, np.where(low == high, high, _SEVERAL))


def _texts(state: Ints, columns: list[tuple[str, Ints, tuple[str, ...]]]) -> Texts:
    """Text of each device's `state` (D), made once a state."""
    _, first, number = np.unique(state, return_index=True, return_inverse=True)
    distinct = np.empty(len(first), dtype=object)
    for place, device in enumerate(first):
        known = {n: texts[code[device]] for n, code, texts in columns if code[device] >= 0}
        distinct[place] = format_software(known)
    result: Texts = distinct[number]
    return result
