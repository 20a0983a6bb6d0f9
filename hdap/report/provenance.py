"""Where everything in a report came from, and the commands that make it again."""

import hashlib
import platform
import shlex
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hdap.fleet_data.records import IngestRecord, StudyRecord
from hdap.fleet_data.units.set_aside import FRAME, STANDARD_INPUT
from hdap.report.pictures.html_page import MOST_ROWS, Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.requests.search_request import SearchRequest
from hdap.requests.setting import settings_of

PACKAGES = ("hdap", "numpy", "scipy", "scikit-learn", "xgboost", "optuna", "sqlalchemy", "torch")
MOST_HASHED = 1 << 30
"""Bytes of files that are read for their hashes: a second or two."""


def provenance(source: PictureSource) -> Chapter:
    """Files with their hashes, settings and seeds, versions, and the commands in order."""
    section = Chapter("provenance", "Provenance")
    section.parts.append(f"Database: {source.store.name}.")
    if source.simulated:
        section.parts.append("It holds simulated rows: what rests on them was not measured.")
    files = _files(section, source)
    _settings(section, source)
    section.tabulate(
        "Versions",
        ["package", "version"],
        [["Python", platform.python_version()], *([n, _version(n)] for n in PACKAGES)],
    )
    section.commands = commands(source, files)
    return section


def _files(section: Chapter, source: PictureSource) -> list[str]:
    """A table of what was ingested; the files' names."""
    found = source.store.ingests()
    names = [each.source for each in found]
    section.tabulate(
        "What was ingested (the content of rows is a sum of their hashes, in any order)",
        ["file", "rows|", "rejected|", "added|", "known|", "when (UTC)", "content", "SHA-256 now"],
        [
            [
                each.source,
                f"{each.rows_read:,}",
                f"{each.rows_rejected:,}",
                f"{each.rows_added:,}",
                f"{each.rows_known:,}",
                str(each.started_at)[:19],
                _content(each),
                digest,
            ]
            for each, digest in zip(found, _digests(names), strict=True)
        ],
        newest_last=True,
    )
    return names


def _content(ingest: IngestRecord) -> str:
    sums = ingest.content_rows, ingest.content_low, ingest.content_high
    digest = hashlib.sha256(" ".join(map(str, sums)).encode()).hexdigest()
    return digest[:16] if ingest.content_rows else "-"


def _digests(names: list[str]) -> list[str]:
    """Of each file as it is today; a dash where it is not there any more, was no file, or is not
    shown, and where all that is newer already fills `MOST_HASHED`."""
    left, digests = MOST_HASHED, ["-"] * len(names)
    for i in reversed(range(max(0, len(names) - MOST_ROWS), len(names))):
        path = Path(names[i])
        if path.is_file() and path.stat().st_size <= left:
            left -= path.stat().st_size
            digests[i] = _sha256(path)
    return digests


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _settings(section: Chapter, source: PictureSource) -> None:
    rows = []
    if source.clustering is not None:
        c = source.clustering
        rows += [
            ["clustering", f"{c.id}, {c.created_at:%Y-%m-%d %H:%M} UTC"],
            ["clustering: algorithm, seed", f"{c.algorithm}, {c.seed}"],
            ["clustering: parameters", _pairs(c.parameters)],
            ["clustering: rows it rests on", f"up to measurement {c.measurement_mark:,}"],
        ]
    if source.study is not None:
        s = source.study
        rows += [
            ["study", f"{s.name}, {s.created_at:%Y-%m-%d %H:%M} UTC, {s.state}"],
            ["study: sampler, seed", f"{s.sampler}, {s.seed}"],
            ["study: settings", _pairs(s.settings)],
        ]
    section.tabulate("Settings and seeds", ["what", "value"], rows)


def _pairs(values: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, {}))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commands(source: PictureSource, files: list[str]) -> list[str]:
    """The commands that make what the report shows again, in order."""
    made = []
    named = [file for file in dict.fromkeys(files) if file not in (FRAME, STANDARD_INPUT)]
    if named:
        made.append(shlex.join(["hdap", "ingest", *named[-MOST_ROWS:]]))
        if len(named) > MOST_ROWS:
            made[-1] += f"  # and {len(named) - MOST_ROWS:,} before: the table ingests has them"
    if source.clustering is not None:
        c = source.clustering
        chosen = ["--clusters", str(c.parameters["clusters"])] * bool(c.parameters.get("clusters"))
        made.append(
            shlex.join(["hdap", "cluster", "--algorithm", c.algorithm, "--seed", str(c.seed)])
            + "".join(f" {part}" for part in chosen)
        )
    if source.study is not None:
        made.append(search_command(source.study, name=source.study.name))
    return made


def search_command(study: StudyRecord, without: Collection[str] = (), name: str = "") -> str:
    """The search as it was asked, as a command; `without` some settings and under no name."""
    words = ["hdap", "search", "--model", study.model]
    words += ["--study", name] if name else []
    for leaf in settings_of(SearchRequest):
        value, flag = study.settings.get(leaf.name), f"--{leaf.flag}"
        if leaf.name in ("model", *without) or value in (None, False, leaf.default):
            continue
        if isinstance(value, list):  # names by commas, left out where there are none
            words += [flag, ",".join(value)] if value else []
        elif isinstance(value, dict):
            words += [word for name, of in value.items() for word in (flag, f"{name}={of}")]
        else:
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)
