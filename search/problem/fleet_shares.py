"""The fleet as it will be: devices of a kind together get a share, and the rest what is left.

`firmware=2:100%`, or several with commas: `runtime=openvino*:60%,runtime=ncnn*:40%`. What comes
before `=` is a column of software, or `cluster`; the value may hold `*` for anything. Within a kind
devices keep their weights, so a firmware that runs on half of the fleet stands for the whole as
those devices are now.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Bools, ClusteringRecord, Devices
from hdap.fleet_data.software import parse_software
from hdap.fleet_data.telemetry import SOFTWARE
from hdap.fleet_data.wording import percent
from hdap.search.problem.fleet_weights import aligned_weights

CLUSTER = "cluster"
EXAMPLE = "firmware=2:100%"
ROUNDING = 1e-9
MOST_SHOWN = 6


@dataclass(frozen=True)
class KindShare:
    """Devices whose `column` is `value` (* for anything) are `share` of the fleet's weight."""

    column: str
    value: str
    share: float

    @property
    def text(self) -> str:
        """The kind as it was written."""
        return f"{self.column}={self.value}"


def parse_shares(text: str) -> tuple[KindShare, ...]:
    """The shares of a text. Raises InputError where it is none, or asks for more than all."""
    found = tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())
    total = sum(kind.share for kind in found)
    if not found or total > 1.0 + ROUNDING:
        raise InputError(
            f"the shares of a fleet must be at least one and add up to at most 100 %, but got "
            f"{text!r} ({percent(total)}); as in {EXAMPLE}"
        )
    return found


def fleet_with(
    kinds: tuple[KindShare, ...], clustering: ClusteringRecord, devices: Devices
) -> Devices:
    """The clustered devices with the weights that give every kind its share.

    Raises InputError where no device is of a kind that is to have a share, where a device is of two
    kinds, and where the shares leave something and no device is left to have it.
    """
    weights = aligned_weights(clustering, devices)
    values = {column: _values(clustering, column) for column in {k.column for k in kinds}}
    left = np.ones(len(weights), dtype=np.bool_)
    result = np.zeros(len(weights))
    for kind in kinds:
        mine = np.asarray(_matching(values[kind.column], kind.value) & (weights > 0.0))
        if not mine.any() and kind.share > 0.0:
            raise _nobody(kind, values[kind.column])
        if (mine & ~left).any():
            twice = clustering.device_ids[mine & ~left][0]
            raise InputError(
                f"a device must be of one kind, but {twice} is of {kind.text} and of one before "
                "it; name kinds that do not overlap"
            )
        left &= ~mine
        result[mine] = kind.share * weights[mine] / max(weights[mine].sum(), ROUNDING)
    rest, over = left & (weights > 0.0), 1.0 - sum(kind.share for kind in kinds)
    if over > ROUNDING and not rest.any():
        raise InputError(
            f"every device is of one of these kinds, so their shares must add up to 100 %, but "
            f"{percent(over)} is left; give it to one of them"
        )
    result[rest] = max(over, 0.0) * weights[rest] / max(weights[rest].sum(), ROUNDING)
    return Devices(clustering.device_ids, result)


def _parse_one(text: str) -> KindShare:
    kind, _, written = text.rpartition(":")
    column, equals, value = (part.strip() for part in kind.partition("="))
    number = written.strip().removesuffix("%").strip()
    try:
        share = float(number) / (100.0 if "%" in written else 1.0)
    except ValueError:
        share = math.nan
    if not (equals and value and 0.0 <= share <= 1.0):
        raise InputError(
            f"a share of the fleet must be COLUMN=VALUE:SHARE, as in {EXAMPLE} or "
            f"runtime=openvino*:0.6, but got {text!r}"
        )
    if column not in (*SOFTWARE, CLUSTER):
        raise InputError(
            f"a kind of devices must be told by {', '.join(SOFTWARE)} or {CLUSTER}, but got "
            f"{column!r}; as in {EXAMPLE}"
        )
    return KindShare(column, value, share)


def _values(clustering: ClusteringRecord, column: str) -> list[str]:
    """The column of every device; "" where nobody said."""
    if column == CLUSTER:
        return [str(number) for number in clustering.cluster.tolist()]
    texts = clustering.software.tolist()
    known: Mapping[str, str] = {t: parse_software(t).get(column, "") for t in set(texts)}
    return [known[text] for text in texts]


def _matching(values: list[str], pattern: str) -> Bools:
    fits = {value: bool(value) and fnmatchcase(value, pattern) for value in set(values)}
    return np.array([fits[value] for value in values], dtype=np.bool_)


def _nobody(kind: KindShare, values: list[str]) -> InputError:
    there = sorted(set(values) - {""})
    shown = ", ".join(there[:MOST_SHOWN]) + (", ..." if len(there) > MOST_SHOWN else "")
    told = f"{kind.column} is {shown}" if there else f"no device says its {kind.column}"
    return InputError(
        f"some device must be of {kind.text} to stand for those that will be, but none is: {told}; "
        "load telemetry of the first of them: hdap ingest"
    )
