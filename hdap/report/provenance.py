"""Where everything in a report came from, and the commands that make it again."""

import hashlib
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hdap.fleet_data.records import StudyRecord
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.requests.search_request import SearchRequest
from hdap.requests.setting import settings_of

PACKAGES = ("hdap", "numpy", "scipy", "scikit-learn", "xgboost", "optuna", "sqlalchemy", "torch")
BLOCK = 1 << 20


def provenance(source: PictureSource) -> Chapter:
    """Files with their hashes, settings and seeds, versions, and the commands in order."""
    section = Chapter("provenance", "Provenance")
    section.sentences.append(f"Database: {source.store.name}.")
    if source.simulated:
        section.sentences.append("It holds simulated rows: what rests on them was not measured.")
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
    found = source.store.query(
        "SELECT i.source, i.started_at, i.rows_read, i.rows_added, i.rows_known, i.rows_rejected, "
        "count(m.measurement_id), sum(m.row_hash & 4294967295), "
        "sum((m.row_hash >> 32) & 4294967295) "
        "FROM ingests i LEFT JOIN measurements m ON m.ingest_id = i.ingest_id "
        "GROUP BY i.ingest_id, i.source, i.started_at, i.rows_read, i.rows_added, i.rows_known, "
        "i.rows_rejected ORDER BY i.ingest_id"
    )
    section.tabulate(
        "What was ingested (the content of rows is a sum of their hashes, in any order)",
        ["file", "when (UTC)", "rows|", "added|", "known|", "rejected|", "content", "SHA-256 now"],
        [
            [
                str(row[0]),
                str(row[1])[:19],
                *(f"{v:,}" for v in row[2:6]),
                _content(row[6:]),
                _sha256(str(row[0])),
            ]
            for row in found.rows
        ],
    )
    return [str(row[0]) for row in found.rows]


def _content(sums: tuple[Any, ...]) -> str:
    rows, low, high = (int(v or 0) for v in sums)
    digest = hashlib.sha256(f"{rows} {low} {high}".encode()).hexdigest()
    return digest[:16] if rows else "-"


def _sha256(name: str) -> str:
    """Of the file as it is today; a dash where it is not there any more or was no file."""
    path = Path(name)
    if not path.is_file():
        return "-"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()[:16]


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
    if files:
        made.append(shlex.join(["hdap", "ingest", *dict.fromkeys(files)]))
    if source.clustering is not None:
        c = source.clustering
        chosen = ["--clusters", str(c.parameters["clusters"])] * bool(c.parameters.get("clusters"))
        made.append(
            shlex.join(["hdap", "cluster", "--algorithm", c.algorithm, "--seed", str(c.seed)])
            + "".join(f" {part}" for part in chosen)
        )
    if source.study is not None:
        made.append(_search(source.study))
    return made


def _search(study: StudyRecord) -> str:
    words = ["hdap", "search", "--model", study.model, "--study", study.name]
    for leaf in settings_of(SearchRequest):
        value, flag = study.settings.get(leaf.name), f"--{leaf.flag}"
        if leaf.name == "model" or value in (None, False, leaf.default):
            continue
        if isinstance(value, dict):
            words += [word for name, of in value.items() for word in (flag, f"{name}={of}")]
        else:
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)
