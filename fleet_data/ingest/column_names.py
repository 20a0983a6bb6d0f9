"""What the columns of a source are: by the contract, by what was said, or by common names.

Common names are a proposal: somebody has to agree to it.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.invisible import visible
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED, check_columns

Pairs = tuple[tuple[str, str], ...]
_UNITS = {
    "ns": "ns nsec nanos nanosec nanoseconds",
    "us": "us usec usecs micros microsec microseconds",
    "ms": "ms msec msecs millis millisec milliseconds",
    "s": "s sec secs second seconds",
    "min": "minutes",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_COMMON = {
    "device_id": "device_id deviceid device device_name devicename serial serial_number "
    "serialnumber serial_no host hostname host_name node machine",
    "model": "model model_name modelname network network_name",
    "latency_ms": "latency inference_latency inference_time inference_duration inference "
    "latency_median latency_p50 median_latency p50_latency duration elapsed elapsed_time",
    "timestamp": "timestamp ts time datetime date_time measured_at event_time recorded_at",
    "latency_p95_ms": "latency_p95 p95_latency p95",
    "batch_size": "batch_size batchsize batch",
    "firmware": "firmware firmware_version fw_version",
    "threads": "threads num_threads n_threads",
}
_RANKED = {ours: tuple(names.split()) for ours, names in _COMMON.items()}
_TIMED = ("latency_ms", "latency_p95_ms")


@dataclass(frozen=True)
class Naming:
    """What the columns of a source are called from here on, in its order.

    `taken` are pairs of a name in the source and the contract's, where they differ; `unit` is what
    the name of the latencies says they are in, empty where it says nothing. `beside` are columns
    that the source lacks and somebody says.
    """

    columns: tuple[str, ...]
    taken: Pairs = ()
    unit: str = ""
    beside: tuple[str, ...] = ()


class ColumnsProposed(InputError):
    """The columns have common names, and nobody agreed yet to what they seem to be."""

    def __init__(self, message: str, proposal: Naming) -> None:
        super().__init__(message)
        self.proposal = proposal


def name_columns(source: str, found: tuple[str, ...], reading: SourceReading) -> Naming:
    """What the columns of a source are.

    Raises ColumnsProposed where common names tell it and nobody agreed, InputError where required
    columns are missing, one comes twice, or something is said of a column that is not there.
    """
    seen = tuple(map(visible, found))
    absent = [theirs for theirs in reading.columns if visible(theirs) not in seen]
    if absent:
        raise InputError(
            f"`--map {absent[0]}={reading.columns[absent[0]]}` must name a column of {source}, "
            f"which has {_shown(seen)}: correct it"
        )
    pairs, beside = _certain(seen, reading), tuple(reading.beside)
    _refuse_said_twice(source, seen, pairs, beside)
    all_seen = (*seen, *beside)
    if _missing(all_seen, pairs):
        proposed = pairs | _proposed(all_seen, pairs)
        if not _missing(all_seen, proposed):
            naming = _naming(source, seen, proposed, beside)
            if not reading.agreed:
                raise ColumnsProposed(_asks(source, seen, naming), naming)
            return naming
    return _naming(source, seen, pairs, beside)


def _refuse_said_twice(
    source: str, seen: tuple[str, ...], pairs: Mapping[str, str], beside: tuple[str, ...]
) -> None:
    twice = [column for column in beside if column in seen or column in pairs.values()]
    if twice:
        flags = ", ".join(f"--{column.replace('_', '-')}" for column in twice)
        raise InputError(
            f"what is said beside a file must be missing in it, but {source} has "
            f"{', '.join(twice)}: leave {flags} out, of hdap.toml too"
        )


def name_further(source: str, found: tuple[str, ...], first: Naming) -> Naming:
    """What the columns of a further piece of a source are, whose `first` piece was named.

    Names mean what they mean there; a piece may lack some, and have others. Nothing is proposed any
    more. Raises InputError as `name_columns`, and where the latencies' name says another unit.
    """
    seen = tuple(map(visible, found))
    known = {theirs: ours for theirs, ours in first.taken if theirs in seen}
    naming = _naming(source, seen, _certain(seen, SourceReading(known)), first.beside)
    if naming.unit != first.unit:
        raise InputError(
            f"the latencies of {source} must be in one unit, but their names say "
            f"{first.unit or 'ms'} first, and then {naming.unit or 'ms'}: ingest them apart"
        )
    return naming


def fit(found: Iterable[str], reading: SourceReading) -> tuple[int, int]:
    """How many required columns a header has for certain, and how many with common names."""
    seen = tuple(map(visible, found))
    pairs = _certain(seen, reading)
    proposed = pairs | _proposed(seen, pairs)
    return tuple(len(REQUIRED) - len(_missing(seen, p)) for p in (pairs, proposed))  # type: ignore[return-value]


def unit_in_name(name: str) -> tuple[str, str]:
    """A name in lower case with its words apart, without its unit, and that unit (or nothing)."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("µ", "u").replace("μ", "u"))
    plain = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    stem, _, last = plain.rpartition("_")
    return (stem, _UNIT_OF[last]) if stem and last in _UNIT_OF else (plain, "")


def _certain(seen: tuple[str, ...], reading: SourceReading) -> dict[str, str]:
    """What was said, and names that differ from the contract's in capitals alone."""
    pairs = {visible(theirs): ours for theirs, ours in reading.columns.items()}
    for name in seen:
        ours = name.lower()
        free = name not in BY_NAME and name not in pairs
        if free and ours in BY_NAME and ours not in seen and ours not in pairs.values():
            pairs[name] = ours
    return pairs


def _proposed(seen: tuple[str, ...], pairs: Mapping[str, str]) -> dict[str, str]:
    used = {*pairs.values(), *(name for name in seen if name in BY_NAME)}
    free = [name for name in seen if name not in pairs and name not in BY_NAME]
    found: dict[str, str] = {}
    for ours, common in _RANKED.items():
        if ours in used:
            continue
        ranks = {name: common.index(key) for name in free if (key := _key(ours, name)) in common}
        if ranks:
            best = min(ranks, key=lambda name: ranks[name])
            found[best] = ours
            free.remove(best)
    return found


def _key(ours: str, name: str) -> str:
    stem, unit = unit_in_name(name)
    # a time_ms is rather a latency than a time of day
    return stem if ours in _TIMED or not unit or stem in ("ts", "timestamp") else f"{stem}_{unit}"


def _missing(seen: tuple[str, ...], pairs: Mapping[str, str]) -> list[str]:
    named = {pairs.get(name, name) for name in seen}
    return [column for column in REQUIRED if column not in named]


def _naming(
    source: str, seen: tuple[str, ...], pairs: Mapping[str, str], beside: tuple[str, ...]
) -> Naming:
    columns = tuple(pairs.get(name, name) for name in seen)
    check_columns(source, (*columns, *beside))
    units = {
        pairs.get(name, name): unit_in_name(name)[1]
        for name in seen
        if pairs.get(name, name) in _TIMED
    }
    if len({unit for unit in units.values() if unit}) > 1:
        raise InputError(
            f"latency_ms and latency_p95_ms of {source} must be in one unit, but their names say "
            "two: convert one, or leave it out"
        )
    taken = tuple((name, ours) for name, ours in pairs.items() if name in seen)
    unit = units.get("latency_ms", "")
    return Naming(columns, taken, "" if unit == "ms" else unit, beside)


def _asks(source: str, seen: tuple[str, ...], naming: Naming) -> str:
    options = " ".join(f"--map {shlex.quote(f'{theirs}={ours}')}" for theirs, ours in naming.taken)
    unit = f" --unit {naming.unit}" if naming.unit else ""
    return (
        f"{source} must have the columns {', '.join(REQUIRED)}, but it has "
        f"{_shown(seen)}: agree with --yes to {options}{unit}, or say others"
    )


def _shown(seen: tuple[str, ...]) -> str:
    text = ",".join(seen)
    return repr(text if len(text) <= 200 else text[:200] + "...")
