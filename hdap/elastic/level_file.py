"""levels.json: the levels of one elastic network and where each serves, as a file that travels.

`hdap elastic plan` writes it; `hdap elastic train`, `hdap plan --levels` and the controller on the
device read it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.documents import JsonDocument, Positive, read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord
from hdap.search.nested.nested_chain import require_nested


@dataclass(frozen=True)
class LevelEntry:
    """A level: its `channels` as text and as `counts` of every group.

    `accuracy` is None where no network of these channels was judged.
    """

    level: int
    channels: str
    flops: int
    parameters: int
    kept_importance: float
    accuracy: float | None
    counts: tuple[Positive, ...]


@dataclass(frozen=True)
class ClockEntry:
    """At this `clock` (over the typical one) this `level` serves.

    Latencies are predicted, ms, one for each level.
    """

    clock: float
    level: int
    latency_ms: tuple[float, ...]
    low_ms: tuple[float, ...]
    high_ms: tuple[float, ...]


@dataclass(frozen=True)
class ClusterEntry:
    """What serves a cluster; `typical_mhz` is clock 1.0 of `clock_column`, None where unknown."""

    cluster: int
    weight_share: float
    description: str
    clock_column: str | None
    typical_mhz: float | None
    points: tuple[ClockEntry, ...]


@dataclass(frozen=True)
class LevelFile(JsonDocument):
    """The smallest level comes first.

    `architecture` is the digest of the traced model, `fleet` one of which device is in which
    cluster; `widths` are the dense counts of `groups`.
    """

    WHAT = "a file of `hdap elastic plan --out`"
    REMEDY = "plan again or copy it again"
    FORMAT = 1
    KIND = "hdap levels"
    SEALED = True

    plan: int
    simulated: bool
    model: str
    architecture: str
    clustering: int
    fleet: str
    target_ms: float
    risk: float
    groups: tuple[str, ...]
    widths: tuple[int, ...]
    levels: tuple[LevelEntry, ...]
    clusters: tuple[ClusterEntry, ...]

    @property
    def counts(self) -> Counts:
        """Channels of all levels, `levels x groups`."""
        return np.array([level.counts for level in self.levels], dtype=np.int64)


def fleet_digest(clustering: ClusteringRecord) -> str:
    """Which device is in which cluster, as 16 hexadecimal digits."""
    made = hashlib.sha256("\0".join(map(str, clustering.device_ids)).encode())
    made.update(np.ascontiguousarray(clustering.cluster, dtype="<i8").tobytes())
    return made.hexdigest()[:16]


def read_level_file(
    path: Path, architecture: Architecture, clustering: ClusteringRecord | None = None
) -> LevelFile:
    """Read and check a file against the model, and against a clustering where one is given.

    Raises InputError, in one line: no such file, damaged, of another model, network or clustering,
    or a level that is not a prefix of the next.
    """
    found = read_document(path, LevelFile)
    if found.model != architecture.model or found.architecture != architecture.digest:
        raise InputError(
            f"{path} must hold levels of {architecture.model} as it is traced now, but was made "
            f"for {found.model} (architecture {found.architecture[:12]}, not "
            f"{architecture.digest[:12]}); plan again: hdap elastic plan"
        )
    if clustering is not None and found.fleet != fleet_digest(clustering):
        raise InputError(
            f"{path} must be made for clustering {clustering.id}, but was made for clustering "
            f"{found.clustering} of other devices; plan again: hdap elastic plan"
        )
    sizes = {len(level.counts) for level in found.levels}
    if sizes != {len(architecture.groups)} or (found.counts > architecture.widths).any():
        raise InputError(f"{path} must give every width group of {architecture.model} its count")
    require_nested(found.counts, tuple(group.name for group in architecture.groups))
    return found
