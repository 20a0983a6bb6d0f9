"""The chapters of a report, each from a source that may hold much, little or nothing."""

import numpy as np

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.records import ClusteringRecord
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import draw
from hdap.search.analysis.judgement import stored_verdicts
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.workflows.detect_drift import findings
from hdap.workflows.text_cells import comparison, interval, latency, share

MOST_ROWS = 50
"""Rows of a table of devices; a longer one says so."""


def fleet(source: PictureSource) -> Chapter:
    """Who the devices are, and who among them is sick."""
    section = Chapter("fleet", "The fleet")
    counts = source.store.model_counts()
    devices = len(source.store.devices().ids)
    if counts:
        rows = sum(c.measurements for c in counts)
        section.sentences.append(
            f"{devices:,} devices sent {rows:,} measurements of "
            f"{', '.join(c.model for c in counts)}."
        )
    draw(section, source, "fleet", "latency")
    found = source.clustering
    if found is not None and found.outlier.any():
        section.tabulate(*_outliers(found))
    return section


def _outliers(found: ClusteringRecord) -> tuple[str, list[str], list[list[str]]]:
    order = np.flatnonzero(found.outlier)
    order = order[np.abs(np.log(found.factor[order])).argsort()[::-1]]
    cut = f", the {MOST_ROWS} oddest" if len(order) > MOST_ROWS else ""
    return (
        f"{len(order):,} devices that behave like no other{cut}",
        ["device", "nearest cluster|", "latency over its cluster's|"],
        [
            [str(found.device_ids[i]), str(found.cluster[i]), f"{found.factor[i]:.2f}x"]
            for i in order[:MOST_ROWS]
        ],
    )


def clusters(source: PictureSource) -> Chapter:
    """What groups there are, what is special about each, how sure that is."""
    section = Chapter("clusters", "The clusters")
    draw(section, source, "clusters")
    found = source.clustering
    if found is None:
        return section
    if np.isfinite(found.stability):
        section.sentences.append(
            f"Clustering {found.id} by {found.algorithm}; clusterings of resampled devices agree "
            f"with it by an adjusted Rand index of {found.stability:.2f} (1: always the same)."
        )
    section.tabulate(
        "What is special about each",
        [
            *("cluster|", "devices|", "weight|", "latency|", "spread inside|", "stability|"),
            *("what is special", "representatives"),
        ],
        [
            [
                str(c.cluster),
                f"{c.devices:,}",
                share(c.weight_share),
                f"{c.relative_latency:.2f}x",
                share(c.spread, 1),
                f"{c.stability:.2f}" if np.isfinite(c.stability) else "-",
                c.description,
                ", ".join(
                    str(d)
                    for d in found.device_ids[found.representative & (found.cluster == c.cluster)]
                ),
            ]
            for c in found.clusters
        ],
    )
    return section


def surrogates(source: PictureSource) -> Chapter:
    """How well latencies of networks that were never measured are known."""
    section = Chapter("surrogates", "The surrogates")
    draw(section, source, "parity", "learning")
    found = section.attempt(lambda: source.surrogates)
    if found:
        section.tabulate(
            f"Surrogates of {found[0].model} (kind {found[0].kind}), on held-out configurations",
            [
                *("cluster|", "rows|", "configurations|", "error|", "rank correlation|"),
                *("in 90 % interval|", "dense, measured|", "warning"),
            ],
            [
                [
                    str(r.cluster),
                    f"{r.rows:,}",
                    f"{r.configurations:,}",
                    share(r.mape, 1),
                    f"{r.kendall_tau:.3f}" if np.isfinite(r.kendall_tau) else "-",
                    share(r.coverage),
                    latency(r.dense_ms),
                    r.warning,
                ]
                for r in found
            ],
        )
    return section


def search(source: PictureSource) -> Chapter:
    """What the search found and how it came to it."""
    section = Chapter("search", "The search")
    found = section.attempt(lambda: source.answer)
    if found is not None:
        study = source.searched
        word = "simulated" if source.simulated else "measured"
        _awareness(section, source)
        section.tables.append(
            comparison(
                f"{study.name}: {study.model} within {format_flops(study.flops_low)} to "
                f"{format_flops(study.flops_high)} FLOPs, predicted unless it says {word}",
                found,
                word,
            )
        )
    draw(section, source, "history", "pareto", "layers")
    _studies(section, source)
    return section


def _awareness(section: Chapter, source: PictureSource) -> None:
    study = source.searched
    worth = section.attempt(
        lambda: single_cluster_baseline(source.problem, source.answer.found.counts, study.seed)
    )
    if worth is not None:
        section.sentences.append(f"What it was worth to know the fleet: {worth.words}.")


def _studies(section: Chapter, source: PictureSource) -> None:
    found = source.store.query(
        "SELECT study, model, sampler, flops_high, trials, feasible, best_fleet_mean_ms, state "
        "FROM trial_summary ORDER BY study_id"
    )
    section.tabulate(
        "All studies",
        [
            *("study", "model", "sampler", "budget|", "trials|", "feasible|"),
            *("best fleet mean (predicted)|", "state"),
        ],
        [
            [
                *(str(v) for v in row[:3]),
                format_flops(row[3]),
                *(f"{v:,}" for v in row[4:6]),
                "-" if row[6] is None else latency(row[6]),
                str(row[7]),
            ]
            for row in found.rows
        ],
    )


def verification(source: PictureSource) -> Chapter:
    """What was promised against what was measured."""
    section = Chapter("verification", "Verification")
    draw(section, source, "promise")
    found = section.attempt(lambda: source.verifications)
    for verdict in stored_verdicts(found or ()):
        word = "simulated" if verdict.simulated else "measured"
        section.tabulate(
            f"Trial {verdict.number}: the promise {verdict.words}",
            [
                *("cluster|", "devices|", "predicted|", "90 % interval|", f"{word}|"),
                *("90 % interval|", "latency"),
            ],
            [
                [
                    str(check.cluster),
                    str(check.devices),
                    latency(check.predicted.value),
                    interval(check.predicted.low, check.predicted.high),
                    latency(check.measured.value),
                    interval(check.measured.low, check.measured.high),
                    check.words,
                ]
                for check in verdict.clusters
            ],
        )
    return section


def drift(source: PictureSource) -> Chapter:
    """What telemetry since the clustering says of what it assumed."""
    section = Chapter("drift", "Drift")
    draw(section, source, "drift")
    if source.clustering is None:
        return section
    models = tuple(c.model for c in source.store.model_counts())
    found = findings(source.store, source.clustering, models)
    section.sentences += [f"{f}." for f in found]
    return section
