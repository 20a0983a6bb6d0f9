"""`hdap status`: what the database holds and what is stale."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hdap.cli.settings.fleet_commands import StatusCommand
from hdap.cli.terminal.next_steps import as_typed, next_steps, telemetry_of_yours, told_aside
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, note, show_rows
from hdap.fleet_data.records import ClusteringHead, StudyRecord
from hdap.fleet_data.software import parse_software, show_software
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import counted
from hdap.search.analysis.judgement import StoredVerdict, stored_verdicts
from hdap.workflows.artifacts import require_measurements
from hdap.workflows.list_devices import software_shares
from hdap.workflows.next_commands import command_line, for_models

Verdicts = Sequence[tuple[StudyRecord, StoredVerdict]]


def run(asked: StatusCommand) -> None:
    """Print what there is and the next sensible command."""
    with open_store(asked.db, create=False, read_only=True) as store:
        document = _document(store, asked.model)
    emit_json(document) if asked.as_json else _show(document)


def _document(store: Store, model: str | None) -> dict[str, Any]:
    mark, aside = store.measurement_mark(), store.set_aside()
    if model is not None and not any(each.model == model for each in aside):
        require_measurements(store, model)
    measured = [c for c in store.model_counts() if model in (None, c.model)]
    names = {counts.model for counts in measured}
    studies = [s for s in store.studies() if s.model in names]
    verdicts = [(s, v) for s in studies for v in stored_verdicts(store.verifications(s.id))]
    clustering = store.clustering_head()
    models: list[dict[str, Any]] = []
    for counts in measured:
        records = (
            () if clustering is None else store.surrogates(counts.model, clustering.id, "fleet")
        )
        models.append(
            {
                "model": counts.model,
                "measurements": counts.measurements,
                "dense_measurements": counts.dense_measurements,
                "devices": counts.devices,
                "configurations": counts.configurations,
                "surrogates": _state(
                    bool(records), all(r.measurement_mark == mark for r in records)
                ),
                "studies": [s.name for s in studies if s.model == counts.model],
            }
        )
    return {
        "database": store.name,
        "devices": store.device_count(),
        "clustering": _state(
            clustering is not None, clustering is not None and clustering.measurement_mark == mark
        ),
        "clustering_id": None if clustering is None else clustering.id,
        "software": _software(store),
        "clusters": 0 if clustering is None else clustering.clusters,
        "models": models,
        "verified": [_verified(*each) for each in verdicts],
        "drift": _drift(store, clustering, tuple(c.model for c in measured)),
        "set_aside": [asdict(each) | {"line": told_aside(each)} for each in aside],
        "next": (aside[0].repair if aside and not models else _next(store, models, verdicts)),
    }


def _software(store: Store) -> list[dict[str, Any]]:
    """What devices run, as the newest clustering saw it."""
    return [
        {
            "software": parse_software(share.software),
            "devices": share.devices,
            "changed": share.changed,
            "line": show_software(share.software),
        }
        for share in software_shares(store)
    ]


def _drift(
    store: Store, clustering: ClusteringHead | None, models: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What telemetry since the clustering says of it."""
    if clustering is None or store.measurement_mark() == clustering.measurement_mark:
        return []
    from hdap.workflows.detect_drift import findings  # takes a second, and is seldom needed

    found = findings(store, store.clustering(clustering.id), models)
    return [asdict(f) | {"line": str(f)} for f in found]


def _verified(study: StudyRecord, verdict: StoredVerdict) -> dict[str, Any]:
    """What was found of a promise that was measured."""
    return {
        "study": study.name,
        "trial": verdict.number,
        "conclusion": verdict.conclusion,
        "line": f"trial {verdict.number} of {study.name}: {verdict.words}",
    }


def _off(verdicts: Verdicts, model: str) -> bool:
    """Whether the newest promise of a model that was measured missed by a factor."""
    of_model = [verdict for study, verdict in verdicts if study.model == model]
    return bool(of_model) and max(of_model, key=lambda v: v.created_at).off


def _state(there: bool, current: bool) -> str:
    return ("current" if current else "stale") if there else "missing"


def _next(store: Store, models: list[dict[str, Any]], verdicts: Verdicts) -> str:
    """The next command; empty where none works before there is other telemetry."""
    # a prediction that missed by a factor is mended before anything rests on it
    off = [
        m["model"] for m in models if m["surrogates"] != "current" and _off(verdicts, m["model"])
    ]
    if off:
        return command_line("fit", "--model", off[0])
    searched = [m["studies"][-1] for m in models if m["studies"]]
    if searched:
        return command_line("trials", "--study", searched[0])
    steps = for_models(store, [m["model"] for m in models])
    return steps[0] if steps else "hdap devices" if models else ""


def _show_software(shares: list[dict[str, Any]]) -> None:
    """Which software how many devices run, where there is more than one."""
    if len(shares) > 1:
        show_rows(
            shares,
            ("software", "left", lambda s: s["line"]),
            ("devices", "right", lambda s: f"{s['devices']:,}"),
            ("of them changed to it", "right", lambda s: f"{s['changed']:,}"),
        )
    changed = sum(s["changed"] for s in shares)
    if changed:
        line(f"{counted(changed, 'device')} ran other software before: hdap devices --changed")


def _show(document: dict[str, Any]) -> None:
    line(
        f"{document['database']}: {counted(document['devices'], 'device')}, "
        f"{counted(document['clusters'], 'cluster')} (clustering {document['clustering']})"
    )
    show_rows(
        document["models"],
        ("model", "left", lambda m: m["model"]),
        ("measurements", "right", lambda m: f"{m['measurements']:,}"),
        ("dense", "right", lambda m: f"{m['dense_measurements']:,}"),
        ("devices", "right", lambda m: f"{m['devices']:,}"),
        ("configurations", "right", lambda m: f"{m['configurations']:,}"),
        ("surrogates", "left", lambda m: m["surrogates"]),
        ("studies", "left", lambda m: ", ".join(m["studies"]) or "-"),
    )
    _show_software(document["software"])
    if "stale" in [document["clustering"], *(m["surrogates"] for m in document["models"])]:
        note("what is stale is made anew by the next search")
    for each in document["set_aside"]:
        line(each["line"])
    for verified in document["verified"]:
        line(verified["line"])
    if document["drift"]:
        note(f"since clustering {document['clustering_id']}:")
    for finding in document["drift"]:
        told = finding["says"]
        if finding["action"] != "nothing":
            told += f": {finding['action']} ({as_typed(finding['command'])})"
        line(f"  {told}")
    if document["next"]:
        next_steps(document["next"])
    else:
        telemetry_of_yours()
