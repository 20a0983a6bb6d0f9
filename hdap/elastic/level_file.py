"""levels.json: the levels of one elastic network and where each serves, as a file that travels.

`hdap elastic plan` writes it; `hdap elastic train`, `hdap plan --levels` and the controller on the
device read it. The smallest level comes first; latencies are predicted, ms, one for each level.

    {"format": 1, "kind": "hdap levels", "digest": "...", "plan": 3, "simulated": false,
     "model": "resnet50", "architecture": "<digest>", "clustering": 2, "fleet": "<digest>",
     "target_ms": 30.0, "risk": 1.0, "groups": ["conv1", ...], "widths": [64, ...],
     "levels": [{"level": 0, "channels": "conv1=32;...", "counts": [32, ...], "flops": 1, ...,
                 "parameters": 1, "kept_importance": 0.5, "accuracy": null}, ...],
     "clusters": [{"cluster": 0, "weight_share": 0.4, "description": "...",
                   "clock_column": "cpu_freq_mhz", "typical_mhz": 1800.0,
                   "points": [{"clock": 0.4, "level": 0, "latency_ms": [...],
                               "low_ms": [...], "high_ms": [...]}, ...]}, ...]}

`architecture` is the digest of the traced model, `fleet` one of which device is in which cluster,
`digest` the SHA-256 of everything else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord
from hdap.search.nested.nested_chain import require_nested

FORMAT = 1
KIND = "hdap levels"


@dataclass(frozen=True)
class LevelFile:
    """A checked file; `counts` (`levels x groups`) ascend, `document` is all of it."""

    model: str
    counts: Counts
    document: Mapping[str, Any]


def fleet_digest(clustering: ClusteringRecord) -> str:
    """Which device is in which cluster, as 16 hexadecimal digits."""
    made = hashlib.sha256("\0".join(map(str, clustering.device_ids)).encode())
    made.update(np.ascontiguousarray(clustering.cluster, dtype="<i8").tobytes())
    return made.hexdigest()[:16]


def file_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 over the document without its own `digest`."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_level_file(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document with its digest. Raises InputError where the file cannot be written."""
    whole = {**document, "digest": file_digest(document)}
    try:
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"levels must be writable at {path}, but {error.strerror}; name another file"
        ) from error


def read_level_file(
    path: Path, architecture: Architecture, clustering: ClusteringRecord | None = None
) -> LevelFile:
    """Read and check a file against the model, and against a clustering where one is given.

    Raises InputError, in one line: no such file, damaged, of another model, network or clustering,
    or a level that is not a prefix of the next.
    """
    document = _read(path)
    if document["model"] != architecture.model or document["architecture"] != architecture.digest:
        raise InputError(
            f"{path} must hold levels of {architecture.model} as it is traced now, but was made "
            f"for {document['model']} (architecture {str(document['architecture'])[:12]}, not "
            f"{architecture.digest[:12]}); plan again: hdap elastic plan"
        )
    if clustering is not None and document["fleet"] != fleet_digest(clustering):
        raise InputError(
            f"{path} must be made for clustering {clustering.id}, but was made for clustering "
            f"{document['clustering']} of other devices; plan again: hdap elastic plan"
        )
    counts = np.array([level["counts"] for level in document["levels"]], dtype=np.int64)
    if counts.shape[1:] != architecture.widths.shape or (counts > architecture.widths).any():
        raise InputError(f"{path} must give every width group of {architecture.model} its count")
    require_nested(counts, tuple(group.name for group in architecture.groups))
    return LevelFile(architecture.model, counts, document)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the levels must be a file of `hdap elastic plan --out`, but {path} cannot be read "
            f"({error.strerror})"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} must be JSON, but is not ({error}); write it again") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InputError(f"{path} must be a file of `hdap elastic plan --out`, but is another")
    if document.get("format") != FORMAT:
        raise InputError(
            f"{path} must have format {FORMAT}, but has {document.get('format')}; plan again"
        )
    if document.get("digest") != file_digest(document):
        raise InputError(
            f"{path} must be as it was written, but its digest does not fit its content; "
            f"plan again or copy it again"
        )
    return document
